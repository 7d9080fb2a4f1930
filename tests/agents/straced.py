"""straced.py — what `strace -ff` saw in a directory: files written, renamed, removed, directories made, programs run. The judge of what was recorded."""
import ast
import glob
import os
import re

CALLS = ("execve,execveat,open,openat,creat,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,truncate,ftruncate,"
         "write,writev,pwrite64,pwritev,pwritev2,copy_file_range,sendfile,splice,chdir,fchdir")
CHANGES_FD = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate")
STRING = r'"((?:[^"\\]|\\.)*)"'


def command(prefix):
    """The words to put before the program. One file per process, so that no line is cut in two."""
    return ["strace", "-ff", "-qq", "-y", "-ttt", "-s", "100000", "-e", "signal=none", "-e", "trace=" + CALLS, "-o", prefix]


def text(literal):
    return ast.literal_eval('b"%s"' % literal).decode(errors="surrogateescape")


class Trace:
    def __init__(self, prefix, top):
        self.top, self.cwd = top, {}
        self.writes, self.renames, self.removed, self.made, self.execs = set(), [], set(), set(), []
        lines = []
        for path in glob.glob(prefix + ".*"):
            pid = int(path.rsplit(".", 1)[1])
            for line in open(path, errors="surrogateescape"):
                m = re.match(r"(\d+\.\d+) (\w+)\((.*)\)\s+= (-?\d+|\?)(.*)$", line.rstrip("\n"))
                if m and not m.group(4).startswith(("-", "?")):
                    lines.append((float(m.group(1)), pid, m.group(2), m.group(3), m.group(5)))
        for line in sorted(lines):
            self.take(*line[1:])

    def inside(self, path):
        """The path relative to the directory; None when it is elsewhere or a recorder's or git's own."""
        path = os.path.normpath(path.replace(" (deleted)", ""))
        if not path.startswith(self.top + "/"):
            return None
        path = path[len(self.top) + 1:]
        return None if path.split("/")[0] in (".git", ".vcr") else path

    def names(self, pid, arguments):
        """The path arguments, absolute: each string, by the directory descriptor before it if there is one."""
        out = []
        for m in re.finditer(r'(?:(?:AT_FDCWD|\d+)<((?:[^>\\]|\\.)*)>, )?' + STRING, arguments):
            base = text(m.group(1)) if m.group(1) else self.cwd.get(pid, self.top)
            out.append(os.path.join(base, text(m.group(2))))
        return out

    def note(self, where, path):
        path = path and self.inside(path)
        if path:
            where.add(path)

    def take(self, pid, call, arguments, result):
        opened = re.match(r"<(.*)>", result)
        if call == "chdir":
            self.cwd[pid] = self.names(pid, arguments)[0]
        elif call in ("execve", "execveat"):
            argv = re.search(r"\[(.*)\](?:, 0x|, \[)", arguments)
            self.execs.append((pid, [text(s) for s in re.findall(STRING, argv.group(1))] if argv else []))
        elif call in ("open", "openat", "creat"):
            if opened and (call == "creat" or re.search(r"O_(CREAT|TRUNC)", arguments)):
                self.note(self.writes, text(opened.group(1)))
        elif call in CHANGES_FD:
            self.note(self.writes, text(re.match(r"\d+<((?:[^>\\]|\\.)*)>", arguments).group(1)))
        elif call in ("copy_file_range", "sendfile", "splice"):
            fds = re.findall(r"\d+<((?:[^>\\]|\\.)*)>", arguments)
            self.note(self.writes, text(fds[0 if call == "sendfile" else -1]))
        elif call.startswith("rename"):
            old, new = (self.inside(p) for p in self.names(pid, arguments)[:2])
            if old or new:
                self.renames.append((old, new))
        elif call in ("unlink", "unlinkat", "rmdir"):
            self.note(self.removed, self.names(pid, arguments)[0])
        elif call in ("mkdir", "mkdirat"):
            self.note(self.made, self.names(pid, arguments)[0])
        elif call == "truncate":
            self.note(self.writes, self.names(pid, arguments)[0])
