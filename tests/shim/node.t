#!/usr/bin/python3
"""node with the library in it: what it says, does and leaves is what it is without; its TLS and its files are seen, each once."""
import ctypes
import os
import re
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "shim"))
import tapkit
from tapkit import ok, skip

NODE = os.environ.get("TEST_NODE") or shutil.which("node")
COMMON = r"""
const { spawnSync, fork } = require('child_process'), crypto = require('crypto'), fs = require('fs'), http = require('http'), https = require('https'), os = require('os');
const sha = x => crypto.createHash('sha256').update(x).digest('hex').slice(0, 8);
const pem = name => fs.readFileSync(`${process.env.CERTS}/${name}.pem`);
// A server that answers with what it was sent, in pieces.
const echo = () => https.createServer({ key: pem('key'), cert: pem('cert') }, (q, r) => q.on('data', d => r.write(d)).on('end', () => r.end()));
const ask = (port, text, done) => https.request({ port, host: 'localhost', servername: 'api.example', path: '/v1/chat/completions', method: 'POST', rejectUnauthorized: false },
  r => { let all = ''; r.setEncoding('utf8').on('data', d => all += d).on('end', () => done(all)); }).end(text);
"""
TLS = """
const s = echo().listen(0, '127.0.0.1', () => ask(s.address().port, 'question '.repeat(40000), all => { console.log(all.length, sha(all)); s.close(); }));
"""
SAME = {
    "workers": ([], """
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (isMainThread) {
  let out = [];
  for (let i = 0; i < 4; i++)
    new Worker(__filename).on('message', m => out.push(m)).on('exit', c => out.push(c)).on('error', e => console.log(String(e)));
  process.on('exit', () => console.log(out.sort().join(' ')));
} else {
  const s = echo().listen(0, '127.0.0.1', () => ask(s.address().port, 'from a worker '.repeat(9000), all => { parentPort.postMessage(sha(all)); s.close(); }));
}"""),
    "children, one of them with an empty environment": ([], """
for (const env of [process.env, {}])
  for (const how of ['inherit', 'pipe']) {
    const r = spawnSync(process.execPath, ['-e', 'console.log("child", Object.keys(process.env).filter(k => k === 'VCR_SPOOL').length); process.exit(3)'], { env, stdio: ['ignore', how, 'inherit'] });
    console.log(r.status, r.signal, String(r.stdout));
  }"""),
    "a cluster": ([], """
const cluster = require('cluster');
if (cluster.isPrimary) {
  const w = [cluster.fork(), cluster.fork()];
  let n = 0;
  cluster.on('listening', (_, a) => ++n === 2 && ask(a.port, 'to the cluster', all => { console.log(all); w.forEach(x => x.kill()); }));
  cluster.on('exit', (_, c, s) => console.log('worker', c, s));
} else {
  echo().listen(0, '127.0.0.1');
}"""),
    "process.exit in the midst of an answer": ([], """
const s = https.createServer({ key: pem('key'), cert: pem('cert') }, (q, r) => r.write('half')).listen(0, '127.0.0.1', () =>
  https.get({ port: s.address().port, host: '127.0.0.1', rejectUnauthorized: false }, r => r.on('data', d => { console.log(String(d)); process.exit(7); })));"""),
    "an error that nobody catches, in a callback of TLS": ([], """
const s = echo().listen(0, '127.0.0.1', () => ask(s.address().port, 'x', () => { throw new RangeError('thrown'); }));"""),
    "no compiler (--jitless)": (["--jitless"], TLS),
    "a profile (--cpu-prof)": (["--cpu-prof", "--cpu-prof-interval", "200", "--cpu-prof-dir", "prof"], TLS),
    "code on huge pages (--use-largepages)": (["--use-largepages=silent"], TLS),
    "a snapshot": ([], """
const r = [['--snapshot-blob', 'blob', '--build-snapshot', 'entry.js'], ['--snapshot-blob', 'blob', 'main.js']].map(a => {
  fs.writeFileSync('entry.js', 'globalThis.kept = [1, 2, 3].map(x => x * 7);');
  fs.writeFileSync('main.js', '');
  return spawnSync(process.execPath, [...a, '-e', 'console.log(globalThis.kept)'].slice(0, a.length), { encoding: 'utf8' });
});
console.log(r.map(x => [x.status, x.stdout, x.stderr.replaceAll(/\\(node:\\d+\\)/g, '')]), fs.statSync('blob').size > 0);"""),
    "a server and its client in one process": ([], TLS),
}
FILES = r"""
fs.writeFileSync('sync', 'x'); fs.appendFileSync('sync', 'y');
fs.copyFileSync('sync', 'copied');
fs.mkdirSync('dir'); fs.renameSync('copied', 'dir/moved'); fs.symlinkSync('sync', 'link'); fs.chmodSync('sync', 0o600);
const fd = fs.openSync('by descriptor', 'w'); fs.writeSync(fd, 'z'); fs.writevSync(fd, [Buffer.from('a'), Buffer.from('b')]); fs.ftruncateSync(fd, 1); fs.closeSync(fd);
(async () => {
  await fs.promises.writeFile('promised', 'x'.repeat(1 << 20));
  const h = await fs.promises.open('handle', 'w'); await h.write('x'); await h.close();
  await fs.promises.copyFile('handle', 'copied again');
  await new Promise(done => fs.createWriteStream('stream').end('x', done));
  await fs.promises.rm('dir', { recursive: true });
  await fs.promises.cp('sync', 'cp');
  fs.rmSync('link');
})();
"""
WRITTEN = ["by descriptor", "copied", "copied again", "cp", "handle", "promised", "stream", "sync"]


def deny(number):
    """In a child: that system call fails with EPERM, by seccomp."""
    def install():
        def f(code, jt, jf, k):
            return struct.pack("HBBI", code, jt, jf, k)
        program = f(0x20, 0, 0, 0) + f(0x15, 0, 1, number) + f(0x06, 0, 0, 0x00050001) + f(0x06, 0, 0, 0x7fff0000)
        buf = ctypes.create_string_buffer(program)
        fprog = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buf))
        libc = ctypes.CDLL(None)
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(fprog), 0, 0):
            os._exit(99)
    return install


def run(session, name, text, *options, bare=False, env=None, **more):
    """A script, in the session's workspace or, without the library, in one beside it."""
    script = os.path.join(session.dir, name.split()[0] + ".js")
    open(script, "w").write(COMMON + text)
    work = session.work if not bare else os.path.join(session.dir, "bare")
    os.makedirs(work, exist_ok=True)
    all_env = dict(session.env, CERTS=CERTS, **(env or {}))
    if bare:
        all_env.pop("LD_PRELOAD")
        all_env.update({k: v for k, v in (env or {}).items() if k == "LD_PRELOAD"})
    r = subprocess.run([NODE, *options, script], cwd=work, env=all_env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=100, **more)
    return r.returncode, r.stdout, re.sub(r"node:\d+", "node:N", r.stderr)


def spoken(lines):
    """Bytes that the clients sent and got, by connection, of the lines of a session."""
    out = {}
    for l in lines:
        m = re.match(r"(OUT|IN) pid=\d+ conn=(\d+) size=\d+ (.*)", l)
        if m:
            out.setdefault(m.group(2), {"OUT": "", "IN": ""})[m.group(1)] += m.group(3)
    return out


TITLES = ["%s: the same words, errors and exit as without the library" % t for t in SAME]
if not NODE:
    for title in TITLES + ["node's files", "node's TLS"]:
        skip(title, "node is not installed")
    tapkit.done()
certs = tapkit.Session()
CERTS = certs.dir
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                "-keyout", CERTS + "/key.pem", "-out", CERTS + "/cert.pem"], check=True, stderr=subprocess.DEVNULL)

for (name, (options, text)), title in zip(SAME.items(), TITLES):
    session = tapkit.Session()
    with_us, without = run(session, name, text, *options), run(session, name, text, *options, bare=True)
    ok(with_us == without, title, with_us, without)

session = tapkit.Session()
run(session, "one", TLS)
lines = session.lines("--bytes")
talk, servers = list(spoken(lines).values()), [re.search(r"server=(\S*)", l).group(1) for l in lines if l.startswith("CONN")]
ok(servers == ["api.example"] and len(talk) == 1 and talk[0]["OUT"].count("question ") == 40000 and re.sub(r"(\\r\\n)+[0-9a-f]+\\r\\n", "", talk[0]["IN"]).count("question ") == 40000,
   "what a client says and hears over TLS is recorded once, by its server's name; the server's side is not", servers, len(talk), [(t["OUT"][:200], len(t["OUT"]), len(t["IN"])) for t in talk])

first = os.path.join(tapkit.BUILD, "tests", "shim", ".libs", "libssl-first.so")
other = tapkit.Session()
preload = {"LD_PRELOAD": "%s:%s" % (first, tapkit.SHIM)}
r = run(other, "other", TLS, env=preload)
ok(r == run(other, "other", TLS, bare=True, env={"LD_PRELOAD": first}) and len(spoken(other.lines("--bytes"))) == 1, "with another preload, that defines SSL_read too: the same words, and recorded", r)

SYS_MREMAP = 25
refused = tapkit.Session()
r = run(refused, "refused", TLS, preexec_fn=deny(SYS_MREMAP))
lost = [l for l in refused.lines("--bytes") if l.startswith("LOST")]
ok(r[0] == 0 and r == run(refused, "refused", TLS, bare=True) and len(lost) == 1 and "its code may not be changed here" in lost[0] and not spoken(refused.lines("--bytes")),
   "under a seccomp filter that forbids the change node runs as it is, and the session says what was not seen", r, lost)

for how, env in (("threads", {}), ("io_uring", {"UV_USE_IO_URING": "1"})):
    session = tapkit.Session()
    r = run(session, "files", FILES, env=env)
    marks = [re.match(r"FILE pid=\d+ conn=0 (\w+) existed=\d+ flags=\S+ (.*)", l).groups() for l in session.lines() if l.startswith("FILE")]
    opened, written, closed = [sorted({p for op, p in marks if op == kind}) for kind in ("OPEN", "WRITE", "CLOSE")]
    names = {(op, p) for op, p in marks}
    rest = {("RENAME", "copied -> dir/moved"), ("MKDIR", "dir"), ("LINK", "sync -> link"), ("UNLINK", "link"), ("UNLINK", "dir/moved"), ("RMDIR", "dir"), ("TRUNCATE", "by descriptor")}
    ok(r[0] == 0 and opened == written == closed == WRITTEN and rest <= names and any(op == "MODE" and p == "sync" for op, p in names),
       "each file that node writes, copies, moves or removes is marked, its raw system calls included (%s)" % how, r, opened, written, closed, sorted(names))
tapkit.done()
