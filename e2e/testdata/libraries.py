"""Sends by smtplib, reads by imaplib and poplib, over every port of localserve."""
import email
import email.policy
import imaplib
import poplib
import smtplib
import ssl
import sys
from email.message import EmailMessage

offset = int(sys.argv[1])
HOST, PASSWORD = "127.0.0.1", "yubin-local"
tls = ssl.create_default_context()
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE


def message(subject):
    m = EmailMessage()
    m["From"], m["To"], m["Bcc"], m["Subject"] = "alice@yubin.test", "bob@yubin.test", "carol@yubin.test", subject
    m.set_content("こんにちは、世界\n.\n..dots\n")
    m.add_alternative("<p>こんにちは</p>", subtype="html")
    m.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="octet-stream", filename="資料.bin")
    return m


def send():
    with smtplib.SMTP(HOST, 2587 + offset) as c:
        c.starttls(context=tls)
        c.login("alice@yubin.test", PASSWORD)
        c.sendmail("alice@yubin.test", ["bob@yubin.test", "carol@yubin.test"], message("starttls").as_bytes(policy=email.policy.SMTP))
    with smtplib.SMTP_SSL(HOST, 2465 + offset, context=tls) as c:
        c.login("alice@yubin.test", PASSWORD)
        refused = c.send_message(message("implicit"), to_addrs=["bob@yubin.test", "nobody@yubin.test"])
        assert refused["nobody@yubin.test"][0] == 550, refused
    with smtplib.SMTP(HOST, 2525 + offset) as c:
        c.sendmail("x@example.org", ["bob@yubin.test"], b"Subject: from outside\r\n\r\nhello\r\n")
        try:
            c.sendmail("x@example.org", ["y@example.net"], b"Subject: relay\r\n\r\n")
            raise AssertionError("an open relay")
        except smtplib.SMTPRecipientsRefused as e:
            assert e.recipients["y@example.net"][0] == 550, e.recipients
    with smtplib.LMTP(HOST, 2424 + offset) as c:  # It reads one reply after the message, so one recipient.
        c.sendmail("x@example.org", ["bob@yubin.test"], b"Subject: by lmtp\r\n\r\nhello\r\n")


def read_imap(connect):
    c = connect()
    c.login("bob@yubin.test", PASSWORD)
    typ, (count,) = c.select("INBOX")
    assert typ == "OK" and int(count) == 4, (typ, count)
    typ, ((_, octets), _) = c.fetch("1", "(BODY.PEEK[])")
    m = email.message_from_bytes(octets, policy=email.policy.default)
    assert m["Subject"] == "starttls" and m["Bcc"] is None and m["Message-ID"] and m["Date"], m.items()
    text = m.get_body(("plain",)).get_content()
    assert text.replace("\r\n", "\n") == "こんにちは、世界\n.\n..dots\n", repr(text)
    attachment = next(m.iter_attachments())
    assert attachment.get_filename() == "資料.bin" and attachment.get_content() == bytes(range(256)) * 40
    typ, (found,) = c.uid("SEARCH", "BODY", '"HELLO"')
    assert typ == "OK" and len(found.split()) == 2, found
    c.literal = "世界".encode()
    typ, (found,) = c.uid("SEARCH", "CHARSET", "UTF-8", "TEXT")
    assert typ == "OK" and len(found.split()) == 2, found
    typ, (found,) = c.search("UTF-8", "TEXT", "世界".encode())  # It puts no quotes around it.
    assert typ == "OK" and len(found.split()) == 2, found
    return c


def imap():
    c = read_imap(lambda: imaplib.IMAP4_SSL(HOST, 2993 + offset, ssl_context=tls))
    assert c.create("Projects/2026")[0] == "OK"
    assert c.copy("1:2", "Projects/2026")[0] == "OK"
    assert c.store("1", "+FLAGS", "(\\Flagged $Work)")[0] == "OK"
    typ, (flags,) = c.fetch("1", "(FLAGS)")
    assert b"\\Flagged" in flags and b"$Work" in flags, flags
    assert c.append("Sent", "(\\Seen)", None, b"Subject: kept\r\n\r\nsent mail\r\n")[0] == "OK"
    assert c.select("Projects/2026")[1] == [b"2"]
    assert c.store("1:2", "+FLAGS", "\\Deleted")[0] == "OK"
    assert len(c.expunge()[1]) == 2
    assert c.close()[0] == "OK" and c.delete("Projects/2026")[0] == "OK"
    c.logout()

    def starttls():
        c = imaplib.IMAP4(HOST, 2143 + offset)
        c.starttls(tls)
        return c
    read_imap(starttls).logout()
    with imaplib.IMAP4(HOST, 2143 + offset) as c:
        try:
            c.login("bob@yubin.test", "wrong")
            raise AssertionError("a wrong password was taken")
        except imaplib.IMAP4.error as e:
            assert "AUTHENTICATIONFAILED" in str(e), e


def pop():
    c = poplib.POP3_SSL(HOST, 2995 + offset, context=tls)
    c.user("bob@yubin.test")
    c.pass_(PASSWORD)
    count, size = c.stat()
    assert count == 4 and size > 0
    uidls = [line.split()[1] for line in c.uidl()[1]]
    lines = c.retr(1)[1]
    m = email.message_from_bytes(b"\r\n".join(lines) + b"\r\n", policy=email.policy.default)
    text = m.get_body(("plain",)).get_content()
    assert text.replace("\r\n", "\n") == "こんにちは、世界\n.\n..dots\n", repr(text)
    assert len(c.top(1, 0)[1]) < len(lines)
    c.dele(4)
    c.quit()
    c = poplib.POP3(HOST, 2110 + offset)
    c.stls(tls)
    c.user("bob@yubin.test")
    c.pass_(PASSWORD)
    assert [line.split()[1] for line in c.uidl()[1]] == uidls[:3]
    c.quit()


send()
imap()
pop()
print("all is well")
