#!/usr/bin/python3
"""--deterministic: what a program makes of the clock and of chance is the same when its session is replayed, and TLS and the network do not suffer."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ.get("srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "tests", "gate"))
import gatekit  # noqa: F401
from gatekit import BUILD, clikit, done, ok, skip
import leadkit

PYTHON, RECORD, REPLAY = "/usr/bin/python3", os.path.join(BUILD, "vcr-record"), os.path.join(BUILD, "vcr-replay")
TIMES = 10
place = clikit.Place()
del place.env["VCR_COLLECTOR"]


class Model:
    """Answers every request over plain HTTP, and keeps the bodies."""

    def __init__(self):
        self.bodies, self.listener = [], socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            s = self.listener.accept()[0]
            threading.Thread(target=self.talk, args=(s,), daemon=True).start()

    def talk(self, s):
        answer = json.dumps({"id": "x", "choices": [{"message": {"role": "assistant", "content": "echo"}}]}).encode()
        with s:
            head = leadkit.read_head(s)
            head, _, body = head.partition("\r\n\r\n")
            length = next((int(l.split(":")[1]) for l in head.split("\r\n") if l.lower().startswith("content-length:")), 0)
            while len(body) < length:
                body += s.recv(65536).decode("latin-1")
            self.bodies.append(body)
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(answer), answer))


model = Model()
place.env.update(VCR_MODEL_HOSTS="127.0.0.1:%d" % model.port)
URL = "http://127.0.0.1:%d/v1/chat/completions" % model.port


def run(*argv, cwd=None, **env):
    r = subprocess.run(argv, cwd=cwd or place.dir, env=dict(place.env, **env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    return r.returncode, r.stdout, r.stderr


def record(session, *command, options=("--deterministic",), **env):
    """What the model was asked, what the program printed."""
    model.bodies.clear()
    status, out, err = run(RECORD, "--session", session, *options, "--vcr-dir", place.vcr_dir, "--", *command, **env)
    return status, out, err, list(model.bodies)


def replay(session, *command, options=("--deterministic",), vcr_dir=None, **more):
    """(exit status, how many calls were exact, missed), what it printed."""
    status, out, err = run(REPLAY, "-q", "--json", "--strict=exact", *options, "--vcr-dir", vcr_dir or place.vcr_dir, session, "--", *command, **more)
    events = [json.loads(l) for l in err.splitlines() if l.startswith("{")]
    rungs = next((e["rungs"] for e in events if e["event"] == "ledger"), {})
    return (status, rungs.get("exact"), rungs.get("missed")), out, err


HEAD = """
import json, sys, urllib.request
def ask(**facts):
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": json.dumps(facts)}]}).encode()
    return urllib.request.urlopen(urllib.request.Request(%r, body, {"Content-Type": "application/json"}), timeout=30).read()
""" % URL

# ---- Python ----

AGENT = HEAD + """
import ctypes, datetime, os, random, secrets, signal, socket, ssl, tempfile, threading, time, uuid
def facts():
    with tempfile.NamedTemporaryFile() as f, tempfile.TemporaryDirectory() as d:
        return dict(now=datetime.datetime.now().isoformat(), utc=time.time(), uuid=str(uuid.uuid4()), random=random.random(), choice=random.SystemRandom().random(), secret=secrets.token_hex(),
                    file=f.name, dir=d, bytes=os.urandom(8).hex(), order=list({"a", "b", "c", "d", "e", "f"}), ssl=ssl.RAND_bytes(8).hex(), zone=time.tzname, host=socket.gethostname())
for n in range(3):
    ask(n=n, **facts())
    time.sleep(0.02)
drawn = []
for i in range(3):
    t = threading.Thread(target=lambda: drawn.append(secrets.token_hex(4)))
    t.start()
    t.join()
if os.fork() == 0:
    ask(child=secrets.token_hex(4), now=time.time())
    os._exit(0)
os.wait()
ask(drawn=drawn, **facts())
began, until = time.monotonic(), time.time() + 0.001
while time.time() < until and time.monotonic() < began + 20:
    pass
print("ends" if time.time() >= until else "waits forever")
lock = threading.Condition()
with lock:
    began = time.monotonic()
    lock.wait(0.05)
    print("waited" if 0.04 < time.monotonic() - began < 20 else "did not wait")
libc, semaphore, word = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(32), ctypes.c_uint32()
futex = {"x86_64": 202, "aarch64": 98}[os.uname().machine]
libc.sem_init(semaphore, 0, 0)
mutex, condition, timer = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64), ctypes.c_void_p()
libc.mtx_init(mutex, 2)
libc.mtx_lock(mutex)
libc.cnd_init(condition)
libc.timer_create(time.CLOCK_REALTIME, None, ctypes.byref(timer))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
for wait in (lambda t: libc.sem_timedwait(semaphore, t), lambda t: libc.sem_clockwait(semaphore, time.CLOCK_REALTIME, t), lambda t: libc.syscall(futex, ctypes.byref(word), 9 | 128 | 256, 0, t, None, -1),
             lambda t: libc.mtx_timedlock(mutex, t), lambda t: libc.cnd_timedwait(condition, mutex, t),
             lambda t: libc.timer_settime(timer, 1, (ctypes.c_long * 4)(0, 0, *t), None) or int(signal.sigwait([signal.SIGALRM]))):
    began, until = time.monotonic(), time.time() + 0.05
    r = wait((ctypes.c_long * 2)(int(until), int(until % 1 * 1e9)))
    print("until", r, ctypes.get_errno(), 0.04 < time.monotonic() - began < 20)
began = time.time()
time.sleep(0.1)
print("slept", round(time.time() - began, 3))
def in_thread(*calls):
    began = time.time()
    t = threading.Thread(target=lambda: [c() for c in calls])
    t.start()
    t.join()
    return round(time.time() - began, 3)
brief = lambda: libc.usleep(2000)
print("thread", in_thread(brief, brief, brief), in_thread(time.time, brief, brief), in_thread(lambda: libc.usleep(20000)))
private = ctypes.create_string_buffer(16)
ctypes.CDLL(next(l.split()[-1] for l in open("/proc/self/maps") if "libcrypto" in l)).RAND_priv_bytes(private, 16)
print(private.raw.hex())
"""
status, out, err, asked = record("python", PYTHON, "-c", AGENT)
first, keys = out.splitlines(), set(out.splitlines()[-1:])
ok(status == 0 and len(asked) == 5 and len(set(asked)) == 5, "a Python program runs and asks while its session is recorded with --deterministic", status, err)
ok(first[:9] == ["ends", "waited", *["until %d 110 True" % n for n in (-1, -1, -1, 4, 4, signal.SIGALRM)], "slept 0.1"], "a loop that waits for a time ends, waits until a time last, and what is slept through has passed", first)
ok(first[9] == "thread 0.0 0.004 0.02", "also what a thread sleeps through, but for the moments of one that never looks at the clock", first)
outs, got = [], []
for i in range(TIMES):
    was, out, err = replay("python", PYTHON, "-c", AGENT)
    got.append(was)
    outs.append(out.splitlines())
    keys.update(out.splitlines()[-1:])
ok(got == [(0, 5, 0)] * TIMES, "with datetime.now(), uuid4, random, secrets and tempfile in its prompt every call of a Python agent is exact, ten times in a row", got, err)
ok(all(o[:-1] == first[:-1] for o in outs), "and it prints the same", outs)
ok(len(keys) == TIMES + 1, "what OpenSSL draws for its keys is other bytes each time, in the recording and in each replay", keys)
was, _, err = replay("python", PYTHON, "-c", AGENT, options=())
ok(was[2], "without --deterministic they are not exact", was, err)
other = os.path.join(place.dir, "other")
os.mkdir(other)
shutil.copy(place.path("python"), other)
was, _, err = replay("python", PYTHON, "-c", AGENT, vcr_dir=other, TZ="Asia/Tokyo", PYTHONDONTWRITEBYTECODE="1")
ok(was == (0, 5, 0), "the session file alone, in another time zone, is enough", was, err)
left = [f for f in os.listdir(os.path.join(place.run_dir, "vcr")) if not f.endswith(".lock")] if os.path.isdir(os.path.join(place.run_dir, "vcr")) else []
ok(not left, "nothing is left in the runtime directory", left)

# ---- A golden run ----

def golden(*words):
    return run(os.path.join(BUILD, "vcr-golden"), "--vcr-dir", place.vcr_dir, *words)


status, _, err = golden("save", "--deterministic", "roll the dice", "python")
entry = json.loads(golden("show", "--json", "roll the dice")[1] or "{}")
recorded = json.loads(open(place.path("python")).readline())["data"]["metadata"].get("deterministic")
ok(status == 0 and entry.get("deterministic") == recorded and recorded.startswith("v2 seed="), "a golden run's seed and clock are in the list of them", status, err, entry)
got = [golden("replay", "--json", "--strict=exact", *how, "roll the dice", "--", PYTHON, "-c", AGENT) for how in (("--deterministic",), ())]
rungs = [next((json.loads(l) for l in g[2].splitlines() if l.startswith('{"event":"ledger"')), {}).get("rungs", {}).get("exact") for g in got]
ok(got[0][0] == 0 and rungs[0] == 5 and rungs[1] != 5, "vcr-golden replay --deterministic gives them to the command: every call is exact, and not without", got, rungs)
ok(golden("replay", "--deterministic", "roll the dice")[0] == 2, "without a command it is a wrong call")

# ---- A shell and what it starts ----

SHELL = r"""
facts() {
	date +%s.%N; date; date +%N; echo $EPOCHREALTIME; printf '%(%F %T)T\n' -1; echo $SRANDOM
	(echo $SRANDOM; echo $SRANDOM); d=$(mktemp -d); echo "$d"; rmdir "$d"; f=$(mktemp); echo "$f"; rm "$f"
	head -c 8 /dev/urandom | od -An -tx1; tr -dc a-z </dev/urandom | head -c 12; echo; od -An -N4 -tx4 /dev/urandom
	cat /proc/sys/kernel/random/uuid; read -r u </proc/sys/kernel/random/uuid; echo $u
	git init -q r && git -C r -c user.name=a -c user.email=a@b commit -q --allow-empty -m x; git -C r rev-parse HEAD; rm -rf r
	perl -e 'print rand(), " ", time, "\n"'; shuf -i 1-1000000 -n 3; sort -R --random-source=/dev/urandom <<<$'1\n2\n3\n4\n5'; uname -n; sleep 0.05; date +%s.%N
	env -i /bin/date +%s.%N; env -i python3 -c 'import uuid; print(uuid.uuid4())'
}
for i in 1 2; do facts 2>&1 | tee -a "$1" | python3 -c "$2" || exit 1; done
"""
POST = HEAD + "ask(facts=sys.stdin.read())\n"
lines = {}
for name in "recorded", "first", "second":
    if name == "recorded":
        status, out, err, asked = record("shell", "bash", "-c", SHELL, "bash", os.path.join(place.dir, name), POST)
        ok(status == 0 and len(asked) == 2 and not out and b"\x00" not in asked[0].encode(), "a shell with date, git, perl, mktemp and /dev/urandom runs as always", status, out, err)
    else:
        was, out, err = replay("shell", "bash", "-c", SHELL, "bash", os.path.join(place.dir, name), POST)
    lines[name] = open(os.path.join(place.dir, name)).read().splitlines()
ok(was == (0, 2, 0) and lines["recorded"] == lines["first"] == lines["second"], "what bash, date, git, perl, mktemp, shuf, sort and /dev/urandom say is the same again",
   was, [l for l in zip(lines["recorded"], lines["first"], lines["second"]) if len(set(l)) > 1], err)
stamps = [l for l in lines["recorded"] if l.count(".") == 1 and l.replace(".", "").isdigit()]
ok(len(stamps) >= 6 and stamps == sorted(set(stamps)), "two programs that a shell runs one after the other never see the same time, nor an earlier one", stamps)

# ---- Each way of drawing, and the machine's name ----

DRAWS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
static void tell(const char *what, const unsigned char *p, long got)
{
	printf("%s %ld ", what, got);
	for (int i = 0; i < 16; i++)
		printf("%02x", p[i]);
	puts("");
}
int main(void)
{
	unsigned char b[16];
	char name[256];
	struct utsname u;
	struct timespec t;
	int fd = open("/dev/urandom", O_RDONLY);
	tell("getrandom", b, getrandom(b, 16, 0));
	tell("getentropy", b, getentropy(b, 16));
	tell("syscall", b, syscall(SYS_getrandom, b, 16, 0));
	tell("urandom", b, read(fd, b, 16));
#if __GLIBC_PREREQ(2, 36)
	arc4random_buf(b, 16);
	tell("arc4random_buf", b, 16);
	printf("arc4random %x %x\n", arc4random(), arc4random_uniform(1u << 30));
#endif
	syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
	printf("clock %ld.%09ld\n", (long)t.tv_sec, t.tv_nsec);
	return printf("%s %s\n", gethostname(name, sizeof name) ? "?" : name, uname(&u) ? "?" : u.nodename) < 0;
}
"""
SAME = "what a program of C draws by getrandom, getentropy, syscall, arc4random and from /dev/urandom is the same again, and so is the time that it asks for by syscall"
HOST = "on a machine of another name a program hears the recorded one"
path = os.path.join(place.dir, "draws")
with open(path + ".c", "w") as f:
    f.write(DRAWS)
if subprocess.run(["gcc", "-O", "-o", path, path + ".c"], stderr=subprocess.DEVNULL).returncode:
    skip(SAME, "there is no compiler")
    skip(HOST, "there is no compiler")
else:
    bare = [run(path)[1].splitlines()[:-1] for _ in range(2)]
    first = record("draws", path)[1]
    again = (REPLAY, "-q", "--deterministic", "--vcr-dir", place.vcr_dir, "draws", "--", path)
    got = [run(*again)[1] for _ in range(2)]
    ok(first.count("\n") == len(bare[0]) + 1 > 5 and not set(bare[0]) & set(bare[1]) and len(set(first.split())) >= len(first.splitlines()) and got == [first] * 2, SAME, bare, first, got)
    elsewhere = ("unshare", *(["-u"] if os.geteuid() == 0 else ["-ru"]), "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")
    if subprocess.run([*elsewhere, "true"], stderr=subprocess.DEVNULL).returncode:
        skip(HOST, "no namespace in which the machine has another name")
    else:
        ok(run(*elsewhere, path)[1].endswith("elsewhere elsewhere\n") and run(*elsewhere, *again)[1] == first, HOST, run(*elsewhere, *again), first)

# ---- What it cannot reach is named ----

NOW = "#include <stdio.h>\n#include <time.h>\nint main(void) { return printf(\"%ld\\n\", (long)time(NULL)) < 0; }\n"
# What Go's linker leaves in its programs, also in those that are dynamic.
NOTE = 'const struct { unsigned n, d, type; char name[4], id[4]; } note __attribute__((section(".note.go.buildid"), used, aligned(4))) = { 4, 4, 4, "Go", "id" };\n'
for kind, source, how in ("static", NOW, ["-static"]), ("of Go", NOW + NOTE, []):
    title = "a program that cannot be reached, one that is %s, is named, in the recording and in the replay" % kind
    path = os.path.join(place.dir, "stranger-" + kind.split()[-1])
    with open(path + ".c", "w") as f:
        f.write(source)
    if subprocess.run(["gcc", *how, "-o", path, path + ".c"], stderr=subprocess.DEVNULL).returncode:
        skip(title, "no such programs can be made here")
        continue
    session = os.path.basename(path)
    _, _, said, _ = record(session, "sh", "-c", path + "; " + path)
    status, out, err = run(REPLAY, "--deterministic", "--vcr-dir", place.vcr_dir, session, "--", "sh", "-c", path + "; " + path)
    words = "%s is %s: its clock and its random bytes are its own" % (path, kind)
    ok(said.count(words) == 1 and err.count(words) == 1, title, said, err)

# ---- What is set for the command ----

NAMES = ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DO_NOT_TRACK", "UV_THREADPOOL_SIZE")
ASKS = ("sh", "-c", "echo %s" % " ".join("${%s-none}" % n for n in NAMES))
SET = ": %s (" % ", ".join(n + "=1" for n in NAMES)
for name in NAMES:
    place.env.pop(name, None)  # whoever tries this may have them


def replay_asks(session, **env):
    return run(REPLAY, "--deterministic", "--vcr-dir", place.vcr_dir, session, "--", *ASKS, **env)[1:]


_, out, said, _ = record("set", *ASKS)
again, err = replay_asks("set")
ok(out == again == "1 1 1\n" and said.count(SET) == err.count(SET) == 1, "agents are told to report to nobody but their model, and node to read files in turn, in the recording and in the replay, and it is said", out, again, said, err)
_, out, said, _ = record("unset", *ASKS, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="", DO_NOT_TRACK="0", UV_THREADPOOL_SIZE="4")
again, err = replay_asks("unset")
ok((out, again) == ("0 4\n", "none none none\n") and "report" not in said + err, "what the user has set stays, be it to nothing, and the replay of that sets nothing either", out, again, said, err)
again, err = replay_asks("set", DO_NOT_TRACK="")
ok(again == "1 1\n" and ": %s=1, %s=1 (" % (NAMES[0], NAMES[2]) in err, "nor is it taken from who has set it for the replay", again, err)
ok(record("open", *ASKS, options=("--lane=gate",))[1] == "none none none\n", "without --deterministic nothing is set")

# ---- Nothing but the model ----

REACH = HEAD + """
import socket
for where in ("192.0.2.1", 443), ("example.invalid", 80):
    try:
        socket.create_connection(where, timeout=10)
    except OSError as e:
        print(type(e).__name__, e.errno)
ask(n=1)
"""
status, out, err, asked = record("fenced", PYTHON, "-c", REACH)
said = out.splitlines()
ok(status == 0 and len(asked) == 1 and len(said) == 2 and said[0] == "OSError 101", "a deterministic recording reaches no other machine but by the gate", said, err)
ok("192.0.2.1:443" in err, "what it was kept from is said at the end", err)

# ---- Tasks of a thread that race ----

RACE = "import os, sys\nprint(*sorted(str(n) + os.urandom(int(n)).hex() for n in sys.argv[1].split(',')))\n"
_, out, _, _ = record("race", PYTHON, "-c", RACE, "16,8,32,16,2048")
got = [run(REPLAY, "-q", "--deterministic", "--vcr-dir", place.vcr_dir, "race", "--", PYTHON, "-c", RACE, order)[1] for order in ("32,16,2048,16,8", "16,2048,8,16,32")]
ok(len(set(out.split())) == 5 and got == [out, out], "what is drawn in one size is not moved by what is drawn in others: tasks of a thread that race draw the same", out, got)

# As Bun does: no symbol names the function that draws, which asks the kernel for a seed once. Without the library it goes on from that seed.
BUN = """
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
__attribute__((visibility("default"))) void napi_module_register(void) { }
static unsigned state;
static __attribute__((noinline)) void ask_kernel(void *to, size_t n) { if (syscall(SYS_getrandom, to, n, 0) != (long)n) abort(); }
static __attribute__((noinline)) int draw(unsigned char *to, size_t n, const unsigned char *more)
{
	unsigned char seed[48];
	if (!n)
		return 1;
	if (!state) {
		ask_kernel(seed, sizeof seed);
		for (size_t i = 0; i < sizeof seed; i++)
			state = state * 31 + seed[i] + more[i % 32];
		state |= 1;
	}
	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)((state = state * 1103515245 + 12345) >> 16);
	return 1;
}
static void tell(const char *what, size_t size)
{
	static const unsigned char none[32];
	unsigned char to[64];
	draw(to, size, none);
	printf("%s", what);
	for (size_t k = 0; k < size; k++)
		printf("%02x", to[k]);
	puts("");
}
static void *client(void *none)
{
	pthread_setname_np(pthread_self(), "HTTP Client");
	tell("tls", 32);
	return none;
}
int main(int n, char **arg)
{
	pthread_t t;
	tell("first", 16);
	if (!pthread_create(&t, NULL, client, NULL))
		pthread_join(t, NULL);
	for (int i = 1; i < n; i++)
		tell(arg[i], (size_t)atoi(arg[i]));
	return 0;
}
"""
BUN_SAME, BUN_TLS = "nor in a program that draws as Bun does, from a generator of its own without a name", "what the thread draws there in which TLS is spoken is the kernel's"
path = os.path.join(place.dir, "bun")
with open(path + ".c", "w") as f:
    f.write(BUN)
if os.uname().machine != "x86_64":
    skip(BUN_SAME, "tried on x86-64 alone")
    skip(BUN_TLS, "tried on x86-64 alone")
elif subprocess.run(["gcc", "-O2", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-rdynamic", "-no-pie", "-pthread", "-o", path, path + ".c"], stderr=subprocess.DEVNULL).returncode:
    skip(BUN_SAME, "no compiler that makes such programs")
    skip(BUN_TLS, "no compiler that makes such programs")
else:
    def split(out):
        """What it drew for its own use, sorted; what for TLS."""
        return sorted(w for w in out.split() if not w.startswith("tls")), [w for w in out.split() if w.startswith("tls")]

    plain = [split(run(path, *order)[1])[0] for order in (("8", "32", "6"), ("32", "6", "8"))]
    first = split(record("bun", path, "8", "32", "6")[1])
    got = [split(run(REPLAY, "-q", "--deterministic", "--vcr-dir", place.vcr_dir, "bun", "--", path, *order)[1]) for order in (("8", "32", "6"), ("32", "6", "8"), ("6", "8", "32"))]
    ok(len(first[0]) == 4 and plain[0] != plain[1] and all(g[0] == first[0] for g in got), BUN_SAME, first, got)
    ok(len(set(first[1] + [w for g in got for w in g[1]])) == 4, BUN_TLS, first, got)

# ---- A session that was not recorded so ----

WHERE = "import os\nprint('libvcrdeterm' in open('/proc/self/maps').read(), [n for n in os.environ if n.startswith(('LD_', 'VCR_SPOOL'))])\n"
inside = [record(n, PYTHON, "-c", WHERE, options=o)[1].strip() for n, o in (("without", ("--lane=gate",)), ("with", ("--deterministic",)))]
ok(inside == ["False []", "True []"], "a program that is recorded without it has nothing of it, one with it sees nothing of it in its environment", inside)
CHANCE = HEAD + "import uuid, time\nprint(uuid.uuid4(), time.time())\nask(n=1)\n"
record("plain", PYTHON, "-c", CHANCE, options=("--lane=gate",))
status, _, err = golden("save", "--deterministic", "plain", "plain")
ok(status == 1 and "was not recorded with --deterministic" in err and golden("save", "plain", "plain")[0] == 0, "vcr-golden save --deterministic keeps no session that has neither seed nor clock", status, err)
printed = [replay("plain", PYTHON, "-c", CHANCE) for _ in range(2)]
ok(printed[0][0] == (0, 1, 0) and printed[0][1] == printed[1][1], "a session that was recorded without it replays with the same chance each time", printed)

# ---- Wrong calls ----

for words, argv in (("--deterministic with --lane=tap is refused", (RECORD, "--deterministic", "--lane=tap", "--", "true")),
                    ("without a command it is refused", (REPLAY, "--deterministic", "python")),
                    ("so it is for a replay that goes online", (REPLAY, "--deterministic", "--mode=new-episodes", "python", "--", "true"))):
    status, out, err = run(*argv)
    ok(status == 2 and "--deterministic" in err, words, status, err)
done()
