# What Python programs do with processes, descriptors, threads and files.
import asyncio, concurrent.futures, ctypes, fcntl, mmap, multiprocessing, os, pathlib, select, shutil, signal, socket, ssl, sqlite3, subprocess, sys, tempfile, threading


def square(n):
    return n * n


if __name__ == "__main__":
    say = lambda *a: print(*a, flush=True)
    say(sorted(k for k in os.environ if k.startswith(("LD_", "VCR_")) and k not in os.environ.get("KNOWN", "").split()), len(os.listdir("/proc/self/fd")))
    say(subprocess.run(["/usr/bin/env"], env={}, capture_output=True).stdout, subprocess.run("exit 3", shell=True).returncode, subprocess.call(["/bin/false"]))
    say(subprocess.run(["/bin/cat"], input=b"x" * 100000, stdout=subprocess.PIPE, close_fds=True, start_new_session=True).stdout.count(b"x"))
    say(subprocess.run(["/bin/sh", "-c", "ls /proc/self/fd | wc -l"], pass_fds=[os.open("/dev/null", 0)], capture_output=True).stdout)
    try:
        subprocess.run(["/nonexistent"])
    except OSError as e:
        say(e.errno)
    pid = os.fork()
    if not pid:
        os.closerange(0, 256)
        os._exit(11)
    say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 12"], {})
    say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        say(list(pool.map(square, range(5))))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        say(pool.map(square, range(5)))
    pathlib.Path("tree/a/b").mkdir(parents=True)
    pathlib.Path("tree/a/b/c").write_text("text")
    shutil.copytree("tree", "copy")
    shutil.move("copy", "moved")
    shutil.rmtree("tree")
    say(sorted(str(p) for p in pathlib.Path("moved").rglob("*")))
    with tempfile.TemporaryFile(dir=".") as f, open("mapped", "w+b") as g:
        f.write(b"temp")
        g.truncate(4096)
        m = mmap.mmap(g.fileno(), 4096)
        m[:6] = b"mapped"
        m.close()
    say(open("mapped", "rb").read(6), os.path.getsize("mapped"))
    db = sqlite3.connect("db")
    db.execute("create table t(x)")
    db.executemany("insert into t values(?)", [(i,) for i in range(100)])
    db.commit()
    say(db.execute("select sum(x) from t").fetchone())
    fd = os.open("flags", os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o640)
    os.pwrite(fd, b"x", 10)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    shutil.copyfile("mapped", "sent")
    say(os.path.getsize("sent"), oct(os.fstat(fd).st_mode & 0o777))
    a, b = socket.socketpair()
    a.sendmsg([b"fd"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, (fd).to_bytes(4, sys.byteorder))])
    say(len(b.recvmsg(10, 100)[1]), select.select([b], [a], [], 0)[0])
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    say(signal.sigwait([signal.SIGALRM]))
    handled = []
    signal.signal(signal.SIGUSR1, lambda *x: handled.append("handled"))
    os.kill(os.getpid(), signal.SIGUSR1)
    say(handled)

    async def main():
        server = await asyncio.start_server(lambda r, w: (w.write(b"hello"), w.close()), "127.0.0.1", 0)
        r, w = await asyncio.open_connection(*server.sockets[0].getsockname())
        say(await r.read())
        p = await asyncio.create_subprocess_exec("/bin/sh", "-c", "echo out; exit 4", stdout=subprocess.PIPE)
        say(await p.communicate(), p.returncode)

    asyncio.run(main())
    say(len(ssl.create_default_context().get_ca_certs()) >= 0, ctypes.CDLL(None).getpid() == os.getpid())
    threads = [threading.Thread(target=lambda i=i: open("t%d" % i, "w").write("x" * i)) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    say([os.path.getsize("t%d" % i) for i in range(8)])
    os.kill(os.getpid(), signal.SIGTERM)
