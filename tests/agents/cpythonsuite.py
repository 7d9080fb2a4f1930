"""cpythonsuite.py MODULE OUT [--without FILE] [--only FILE]: run one module of CPython's own test suite; OUT gets each test's outcome, as JSON.

--without: a file of tests and classes that are left out; --only: of tests that are run alone. Run by cpython.t, with the interpreter of scripts/cpython-suite."""
import importlib
import json
import sys
import time
import unittest

from test import support


class Result(unittest.TextTestResult):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.outcome, self.why, self.took = {}, {}, {}

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        self.took[test.id()] = time.monotonic() - self.began

    def note(self, test, what, error=None):
        self.outcome[test.id()] = what
        if error:
            self.why[test.id()] = self._exc_info_to_string(error, test)[-2000:]

    def addSuccess(self, test):
        super().addSuccess(test)
        self.outcome.setdefault(test.id(), "ok")

    def addError(self, test, error):
        super().addError(test, error)
        self.note(test, "error", error)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.note(test, "fail", error)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skip: " + reason)

    def addExpectedFailure(self, test, error):
        super().addExpectedFailure(test, error)
        self.note(test, "expected failure")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.note(test, "unexpected success")

    def addSubTest(self, test, part, error):
        super().addSubTest(test, part, error)
        if error:
            self.note(test, "fail", error)


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


if __name__ == "__main__":
    name, out = sys.argv[1:3]
    lists = {option: set(line.strip() for line in open(path) if not line.startswith("#")) for option, path in zip(sys.argv[3::2], sys.argv[4::2])}
    support.use_resources = []  # nothing that needs a network, much memory or a long time
    support.verbose = 0
    suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module("test." + name))
    # VSOCK: waits for ever on virtual machines whose host does not answer, with and without us.
    left_out = lists.get("--without", ())
    chosen = [t for t in flat(suite) if not {t.id(), t.id().rsplit(".", 1)[0]} & set(left_out) and ("--only" not in lists or t.id() in lists["--only"]) and "VSOCK" not in t.id()]
    with open(out + ".log", "w") as log:
        result = unittest.TextTestRunner(stream=log, verbosity=2, resultclass=Result).run(unittest.TestSuite(chosen))
    with open(out, "w") as f:
        json.dump({"outcome": result.outcome, "why": result.why, "took": result.took}, f)
