/* compat.h — what differs between machines and libc versions: raw system calls, prototypes that headers do not give, and
 * the processor's CRC-32C. The only file of the shim with #if. 64-bit Linux on x86-64 and AArch64. */
#ifndef VCR_SHIM_COMPAT_H
#define VCR_SHIM_COMPAT_H
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#if !defined __LP64__
#error "libvcrshim.so supports 64-bit Linux only"
#endif

/* Fortified entry points and names that a header may lack. */
ssize_t __read_chk(int fd, void *buf, size_t n, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t room, int flags, struct sockaddr *from, socklen_t *len);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
pid_t _Fork(void);
int close_range(unsigned first, unsigned last, int flags);
void closefrom(int first);
int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags);

/* resolver(3); <resolv.h> makes macros of common words. */
typedef struct __res_state *res_state;
int res_query(const char *name, int class, int type, unsigned char *answer, int n);
int res_search(const char *name, int class, int type, unsigned char *answer, int n);
int res_querydomain(const char *name, const char *domain, int class, int type, unsigned char *answer, int n);
int res_send(const unsigned char *question, int size, unsigned char *answer, int n);
int res_nquery(res_state s, const char *name, int class, int type, unsigned char *answer, int n);
int res_nsearch(res_state s, const char *name, int class, int type, unsigned char *answer, int n);
int res_nquerydomain(res_state s, const char *name, const char *domain, int class, int type, unsigned char *answer, int n);
int res_nsend(res_state s, const unsigned char *question, int size, unsigned char *answer, int n);

/* OpenSSL as far as it is called here (man7ossl SSL_read, SSL_write, SSL_set_fd). */
typedef struct ssl_st SSL;
typedef struct bio_st BIO;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct x509_store_st X509_STORE;
typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;
int SSL_read(SSL *s, void *buf, int n);
int SSL_read_ex(SSL *s, void *buf, size_t n, size_t *got);
int SSL_read_early_data(SSL *s, void *buf, size_t n, size_t *got);
int SSL_write(SSL *s, const void *buf, int n);
int SSL_write_ex(SSL *s, const void *buf, size_t n, size_t *put);
int SSL_write_ex2(SSL *s, const void *buf, size_t n, uint64_t flags, size_t *put);
int SSL_write_early_data(SSL *s, const void *buf, size_t n, size_t *put);
ssize_t SSL_sendfile(SSL *s, int fd, off_t at, size_t n, int flags);
void SSL_free(SSL *s);
int SSL_clear(SSL *s);
int SSL_set_fd(SSL *s, int fd);
int SSL_set_rfd(SSL *s, int fd);
int SSL_set_wfd(SSL *s, int fd);
void SSL_set_bio(SSL *s, BIO *r, BIO *w);
SSL_CTX *SSL_CTX_new(const SSL_METHOD *m);
SSL_CTX *SSL_CTX_new_ex(OSSL_LIB_CTX *lib, const char *properties, const SSL_METHOD *m);
void SSL_CTX_set_cert_store(SSL_CTX *c, X509_STORE *store);
void SSL_CTX_set1_cert_store(SSL_CTX *c, X509_STORE *store);

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_fork /* not everywhere is there a call for it */
#define SYS_fork -1
#define SYS_vfork -2
#define SYS_rename -3
#define SYS_rmdir -4
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* A function marked VCR_JUMPS ends with VCR_JUMP f(…), a call that leaves nothing of it on the stack, however little is optimised. */
#if defined __has_attribute && __has_attribute(musttail)
#define VCR_JUMPS
#define VCR_JUMP __attribute__((musttail)) return
#else
#define VCR_JUMPS __attribute__((optimize("O2")))
#define VCR_JUMP return
#endif

/* A system call as the kernel answers it: negative errno on failure, errno itself untouched. */
#if defined __x86_64__
enum { VCR_MACHINE = EM_X86_64, VCR_RELOC_DATA = R_X86_64_GLOB_DAT, VCR_RELOC_CALL = R_X86_64_JUMP_SLOT };
/* vfork(2) as libc has it: both return to the caller, on one stack, so the way back is kept in a register meanwhile. */
#define VCR_VFORK \
	".pushsection .text\n.p2align 4\n.globl vfork\n.type vfork, @function\nvfork:\n	.cfi_startproc\n	endbr64\n" \
	"	subq $8, %rsp\n	.cfi_adjust_cfa_offset 8\n	call vcr_shares\n	addq $8, %rsp\n	.cfi_adjust_cfa_offset -8\n" \
	"	popq %rdi\n	.cfi_adjust_cfa_offset -8\n	.cfi_register %rip, %rdi\n	movl $58, %eax\n	syscall\n" \
	"	testl %eax, %eax\n	jnz 1f\n	jmp *%rdi\n" /* the child leaves a shadow stack as it is */ \
	"1:	pushq %rdi\n	.cfi_adjust_cfa_offset 8\n	.cfi_rel_offset %rip, 0\n	lock decl vcr_sharers(%rip)\n	testl %eax, %eax\n	js 2f\n	ret\n" \
	"2:	movl %eax, %edi\n	negl %edi\n	jmp vcr_vfork_failed\n	.cfi_endproc\n.size vfork, . - vfork\n.popsection\n"
static inline long vcr_call6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return r;
}
#elif defined __aarch64__
enum { VCR_MACHINE = EM_AARCH64, VCR_RELOC_DATA = R_AARCH64_GLOB_DAT, VCR_RELOC_CALL = R_AARCH64_JUMP_SLOT };
#define VCR_VFORK \
	".pushsection .text\n.p2align 4\n.globl vfork\n.type vfork, %function\nvfork:\n	.cfi_startproc\n	hint #34\n" /* bti c */ \
	"	stp x29, x30, [sp, #-16]!\n	.cfi_adjust_cfa_offset 16\n	.cfi_rel_offset x29, 0\n	.cfi_rel_offset x30, 8\n	bl vcr_shares\n" \
	"	ldp x29, x30, [sp], #16\n	.cfi_adjust_cfa_offset -16\n	.cfi_restore x29\n	.cfi_restore x30\n" \
	"	adrp x2, vcr_sharers\n	add x2, x2, :lo12:vcr_sharers\n	mov x0, #0x4111\n	mov x1, #0\n	mov x8, #220\n	svc #0\n	cbz w0, 3f\n" \
	"2:	ldxr w3, [x2]\n	sub w3, w3, #1\n	stlxr w4, w3, [x2]\n	cbnz w4, 2b\n	tbnz w0, #31, 4f\n3:	ret\n" \
	"4:	neg w0, w0\n	b vcr_vfork_failed\n	.cfi_endproc\n.size vfork, . - vfork\n.popsection\n"
static inline long vcr_call6(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}
#else
#error "libvcrshim.so knows the system calls of x86-64 and AArch64 only"
#endif

#endif
