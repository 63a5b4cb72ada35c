"""A milter over libmilter, whose words are in the message that it sees.

usage: obedient.py SOCKET
"""
import sys

import Milter


class Filter(Milter.Base):
    def __init__(self):
        self.seen = []

    def note(self, *words):
        self.seen.append(" ".join(words))

    @Milter.noreply
    def connect(self, name, family, addr):
        self.note("connect", name, str(addr and addr[0]), self.getsymval("j") or "-")
        return Milter.CONTINUE

    def hello(self, name):
        self.note("helo", name, self.getsymval("{tls_version}") or "-")
        return Milter.CONTINUE

    def envfrom(self, sender, *params):
        self.note("mail", sender, *params)
        self.note("i", self.getsymval("i") or "-")
        if "reject" in sender:
            self.setreply("554", "5.7.1", "not from you, 100%% sure", "go away")
            return Milter.REJECT
        return Milter.CONTINUE

    def envrcpt(self, to, *params):
        self.note("rcpt", to, *params)
        if "later" in to:
            self.setreply("451", "4.7.1", "come back")
            return Milter.TEMPFAIL
        if "never" in to:
            return Milter.REJECT
        return Milter.CONTINUE

    def header(self, name, value):
        self.note("field", name, repr(value))
        return Milter.CONTINUE

    def eoh(self):
        self.size = 0
        self.note("eoh")
        return Milter.CONTINUE

    def body(self, piece):
        self.size += len(piece)
        return Milter.SKIP if piece.startswith(b"skip") else Milter.CONTINUE

    def eom(self):
        self.note("body", str(self.size))
        self.progress()
        what = self.seen_value("X-Do")
        if what == "all":
            self.addheader("X-Added", "one\n\ttwo")
            self.addheader("X-First", "first", 0)
            self.chgheader("Subject", 1, "changed")
            self.chgheader("X-Gone", 2, None)
            self.chgfrom("<bounce@filter.test>", "")
            self.addrcpt("<added@here.test>")
            self.delrcpt("<good@here.test>")
            self.replacebody(b"another body\r\n" * 20000)
            self.quarantine("looks odd")
        elif what == "tell":
            for i, line in enumerate(self.seen):
                self.addheader("X-Seen-%d" % i, line.replace("\n", "/"))
        elif what == "discard":
            return Milter.DISCARD
        elif what == "accept":
            return Milter.ACCEPT
        elif what == "die":
            import os
            os._exit(1)
        return Milter.CONTINUE

    def seen_value(self, name):
        for line in self.seen:
            if line.startswith("field %s '" % name):
                return line.split("'")[1].strip()
        return ""


Milter.factory = Filter
Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS | Milter.CHGBODY | Milter.ADDRCPT | Milter.DELRCPT | Milter.QUARANTINE | Milter.CHGFROM)
Milter.runmilter("test", sys.argv[1], 30)
