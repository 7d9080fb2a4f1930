/* hooks.h — every libc and libssl symbol that libvcrshim.so stands in front of. This one list gives the exported symbols
 * (visibility below), the originals (shim.h), and the tests that compare both with the symbol table.
 *
 * A hook forwards first and observes afterwards, leaves errno as the original left it, and costs a table look-up when
 * there is nothing to observe. Headers only declare; each family is defined in the file named beside it. */
#ifndef VCR_SHIM_HOOKS_H
#define VCR_SHIM_HOOKS_H
#include "compat.h"

/* fd.c: what a descriptor is */
#define VCR_HOOKS_FD(X) X(close) X(close_range) X(closefrom) X(dup) X(dup2) X(dup3) X(fcntl) X(fcntl64)

/* io.c: bytes through a descriptor */
#define VCR_HOOKS_IO(X) \
	X(write) X(writev) X(pwrite) X(pwrite64) X(pwritev) X(pwritev64) X(pwritev2) X(pwritev64v2) X(read) X(readv) X(__read_chk) \
	X(sendfile) X(sendfile64) X(copy_file_range) X(splice)

/* sock.c: plain HTTP; connect: to the gate */
#define VCR_HOOKS_SOCK(X) \
	X(connect) X(getsockopt) X(send) X(sendto) X(sendmsg) X(sendmmsg) X(recv) X(recvfrom) X(recvmsg) X(recvmmsg) X(__recv_chk) X(__recvfrom_chk)

/* lookup.c: names to addresses, where there is a gate */
#define VCR_HOOKS_LOOKUP(X) \
	X(getaddrinfo) X(gethostbyname) X(gethostbyname2) X(gethostbyname_r) X(gethostbyname2_r) X(gethostbyaddr) X(gethostbyaddr_r) X(getnameinfo) \
	X(res_query) X(res_search) X(res_querydomain) X(res_send) X(res_nquery) X(res_nsearch) X(res_nquerydomain) X(res_nsend)

/* open.c: descriptors and streams opened for writing */
#define VCR_HOOKS_OPEN(X) \
	X(open) X(open64) X(openat) X(openat64) X(__open_2) X(__open64_2) X(__openat_2) X(__openat64_2) X(creat) X(creat64) \
	X(fopen) X(fopen64) X(freopen) X(freopen64) X(fclose) \
	X(mkstemp) X(mkstemp64) X(mkostemp) X(mkostemp64) X(mkstemps) X(mkstemps64) X(mkostemps) X(mkostemps64) X(mkdtemp)

/* name.c: names and modes */
#define VCR_HOOKS_NAME(X) \
	X(rename) X(renameat) X(renameat2) X(link) X(linkat) X(symlink) X(symlinkat) X(unlink) X(unlinkat) X(remove) X(rmdir) \
	X(mkdir) X(mkdirat) X(truncate) X(truncate64) X(ftruncate) X(ftruncate64) X(chmod) X(fchmod) X(fchmodat) X(lchmod)

/* cwd.c: the working directory */
#define VCR_HOOKS_CWD(X) X(chdir) X(fchdir) X(chroot) X(unshare) X(setns) X(nftw) X(nftw64) X(fts_open) X(fts64_open)

/* exec.c: programs; shell.c: those of system and popen */
#define VCR_HOOKS_EXEC(X) \
	X(execve) X(execv) X(execvp) X(execvpe) X(execl) X(execlp) X(execle) X(execveat) X(fexecve) X(posix_spawn) X(posix_spawnp) \
	X(system) X(popen) X(pclose)

/* proc.c: processes; sys.c: syscall() and the sandbox door */
#define VCR_HOOKS_PROC(X) X(fork) X(_Fork) X(vfork) X(clone) X(forkpty) X(daemon) X(wait) X(waitpid) X(wait3) X(wait4) X(waitid) X(_exit) X(_Exit)
#define VCR_HOOKS_SYS(X) X(syscall) X(prctl)

/* tls.c: OpenSSL 1.1 and 3 in a shared library; tap.c: in the program itself */
#define VCR_HOOKS_TLS(X) \
	X(SSL_read) X(SSL_read_ex) X(SSL_read_early_data) X(SSL_write) X(SSL_write_ex) X(SSL_write_ex2) X(SSL_write_early_data) \
	X(SSL_sendfile) X(SSL_free) X(SSL_clear) X(SSL_set_fd) X(SSL_set_rfd) X(SSL_set_wfd) X(SSL_set_bio)

/* trust.c: the gate's certificate */
#define VCR_HOOKS_TRUST(X) X(SSL_CTX_new) X(SSL_CTX_new_ex) X(SSL_CTX_set_cert_store) X(SSL_CTX_set1_cert_store)

/* deep.c: modules that would go past all this */
#define VCR_HOOKS_LOAD(X) X(dlopen)

#define VCR_HOOKS_LIBC(X) \
	VCR_HOOKS_FD(X) VCR_HOOKS_IO(X) VCR_HOOKS_SOCK(X) VCR_HOOKS_OPEN(X) VCR_HOOKS_NAME(X) VCR_HOOKS_CWD(X) VCR_HOOKS_EXEC(X) VCR_HOOKS_PROC(X) \
	VCR_HOOKS_SYS(X) VCR_HOOKS_LOOKUP(X) VCR_HOOKS_LOAD(X)
#define VCR_HOOKS(X) VCR_HOOKS_LIBC(X) VCR_HOOKS_TLS(X) VCR_HOOKS_TRUST(X)

/* annotate.c: exported for the program itself, in front of nothing */
#define VCR_OFFERS(X) X(vcr_annotate)
int vcr_annotate(const char *json);

/* The objects are compiled with -fvisibility=hidden: what is listed here is exported, nothing else. */
#define X(name) extern __typeof__(name) name __attribute__((visibility("default")));
VCR_HOOKS(X)
VCR_OFFERS(X)
#undef X

enum vcr_hook {
#define X(name) VCR_HOOK_##name,
	VCR_HOOKS(X)
#undef X
	VCR_HOOK_COUNT
};

#endif
