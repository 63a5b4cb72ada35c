# Verifies or seals a message with dkimpy: arc.py verify|seal RECORDS [SELECTOR DOMAIN KEY]
# Records has lines of a name and the text of its TXT record.
import sys
import dkim

records = dict(line.rstrip("\n").split(" ", 1) for line in open(sys.argv[2]))
message = sys.stdin.buffer.read()


def txt(name, timeout=5):
    return records.get(name.decode().rstrip("."), "").encode()


if sys.argv[1] == "verify":
    cv, results, comment = dkim.arc_verify(message, dnsfunc=txt)
    print(cv.decode(), comment, len(results))
else:
    selector, domain, key = sys.argv[3:]
    sys.stdout.buffer.write(b"".join(dkim.arc_sign(message, selector.encode(), domain.encode(), open(key, "rb").read(), domain.encode())))
