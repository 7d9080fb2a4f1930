/* determ-random.c — random bytes: each thread's own, of each size, from the session's seed. */
#include <dlfcn.h>
#include <errno.h>
#include <sys/random.h>
#include <sys/time.h>
#include "determ.h"

enum { MOST_ENTROPY = 256, CALLERS = 64, PAGE_BITS = 12 };

/* RAND_bytes(3ssl); arc4random(3), which libc has from 2.36 on. */
int RAND_bytes(unsigned char *to, int n);
uint32_t arc4random(void);
void arc4random_buf(void *to, size_t n);
uint32_t arc4random_uniform(uint32_t bound);
#define X(name) extern __typeof__(name) name VCR_DETERM_EXPORT;
VCR_DETERM_RANDOM(X)
#undef X

/* ---- The streams ---- */

enum { SIZES = 96, OWN = 64 }; /* small sizes count each for itself */

static __thread struct {
	int pid;                      /* whose it is; 0: not made */
	uint32_t nth[SIZES];          /* draws that it has had, by their size */
	unsigned char key[VCR_DETERM_KEY];
} stream;

static void begin(void)
{
	uint64_t nth = raw_gettid() == vcr_determ.pid ? 0 : __atomic_add_fetch(&vcr_determ.threads, 1, __ATOMIC_RELAXED);
	vcr_determ_derive(vcr_determ.key, "thread", nth, stream.key);
	memset(stream.nth, 0, sizeof stream.nth);
	stream.pid = vcr_determ.pid;
}

bool vcr_determ_bytes(void *to, size_t n)
{
	unsigned char *p = to, block[VCR_CHACHA_BLOCK];
	if (!vcr_determ_on() || vcr_determ.own_random || raw_getpid() != vcr_determ.pid)
		return false;
	if (stream.pid != vcr_determ.pid)
		begin();
	uint64_t nth = stream.nth[n < OWN ? n : OWN + n % (SIZES - OWN)]++;
	for (size_t at = 0; at < n; at += VCR_CHACHA_BLOCK) {
		vcr_chacha_block(stream.key, n, nth << 32 | at / VCR_CHACHA_BLOCK, block);
		memcpy(p + at, block, n - at < VCR_CHACHA_BLOCK ? n - at : VCR_CHACHA_BLOCK);
	}
	return true;
}

void vcr_determ_anew(void)
{
	stream.pid = 0;
}

bool vcr_determ_real_bytes(void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		long k = vcr_call3(SYS_getrandom, (long)to + (long)done, (long)(n - done), 0);
		if (k < 0 && k != -EINTR) {
			errno = (int)-k;
			return false;
		}
		done += k > 0 ? (size_t)k : 0;
	}
	return true;
}

/* ---- Who asks ---- */

static const char *object_of(const void *caller)
{
	Dl_info info;
	const char *name = caller && dladdr(caller, &info) && info.dli_fname ? info.dli_fname : "", *slash = strrchr(name, '/');
	return slash ? slash + 1 : name;
}

/* Libraries of cryptography, also as other packages bring them along. */
static bool is_crypto_name(const char *name)
{
	static const char *const beginnings[] = { "libcrypto", "libssl", "libgnutls", "libnettle", "libhogweed", "libgcrypt", "libnss", "libfreebl", "libsoftokn", "libsodium", "libmbed",
		"libwolfssl", "libkrb5", "libssh", "_rust", "cygrpc", "_sodium" };
	for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
		if (!strncmp(name, beginnings[i], strlen(beginnings[i])))
			return true;
	return false;
}

bool vcr_determ_is_crypto(const void *caller)
{
	static uint64_t known[CALLERS]; /* number of a page of code, bit 0: it is */
	uint64_t page = (uint64_t)(uintptr_t)caller >> PAGE_BITS << 1, *at = &known[(page >> 1) % CALLERS], is = __atomic_load_n(at, __ATOMIC_RELAXED);
	if (is >> 1 == page >> 1)
		return is & 1;
	bool crypto = is_crypto_name(object_of(caller));
	__atomic_store_n(at, page | crypto, __ATOMIC_RELAXED);
	return crypto;
}

static bool answers(void *to, size_t n, const void *caller)
{
	return vcr_determ_on() && !vcr_determ_is_crypto(caller) && vcr_determ_bytes(to, n);
}

/* CPython and V8 ask by getrandom(3) alone, an OpenSSL that is linked into the same program by getentropy(3) or syscall(2). */
static bool answers_others(void *to, size_t n, const void *caller)
{
	return vcr_determ_on() && !vcr_determ.python && !vcr_determ.own_tls && answers(to, n, caller);
}

/* ---- What is exported ---- */

ssize_t getrandom(void *to, size_t n, unsigned flags)
{
	if (answers(to, n, __builtin_return_address(0)))
		return (ssize_t)n;
	return VCR_NEXT(getrandom)(to, n, flags);
}

int getentropy(void *to, size_t n)
{
	if (n <= MOST_ENTROPY && answers_others(to, n, __builtin_return_address(0)))
		return 0;
	return VCR_NEXT(getentropy)(to, n);
}

/* Where a program calls these there are some: libc's, or libbsd's. */
void arc4random_buf(void *to, size_t n)
{
	if (!answers_others(to, n, __builtin_return_address(0)))
		VCR_NEXT(arc4random_buf)(to, n);
}

uint32_t arc4random(void)
{
	uint32_t x;
	return answers_others(&x, sizeof x, __builtin_return_address(0)) ? x : VCR_NEXT(arc4random)();
}

/* Below a bound, each with the same chance: what lies in the incomplete last stretch is thrown again. */
uint32_t arc4random_uniform(uint32_t bound)
{
	uint32_t x, least = bound ? -bound % bound : 0;
	do
		if (!answers_others(&x, sizeof x, __builtin_return_address(0)))
			return VCR_NEXT(arc4random_uniform)(bound);
	while (x < least);
	return bound ? x % bound : 0;
}

/* Of an OpenSSL in a shared library: Python's ssl.RAND_bytes is answered, others are none of our business and may be making keys. */
int RAND_bytes(unsigned char *to, int n)
{
	if (n < 0)
		return 0;
	if (!strncmp(object_of(__builtin_return_address(0)), "_ssl.", 5) && vcr_determ_bytes(to, (size_t)n))
		return 1;
	return vcr_determ_real_bytes(to, (size_t)n);
}

/* ---- Bun ---- */

/* The BoringSSL inside mixes what the processor's RDRAND gives into each byte, and so its UUIDs too; it can be told that there is none (bit 62). Nothing of this
 * stands in the environment that the program sees. */
static char *no_rdrand(const char *name)
{
	static char value[] = "~0x4000000000000000";
	return name && *name == 'O' && !strcmp(name, "OPENSSL_ia32cap") && vcr_determ_on() && vcr_determ.bun ? value : NULL;
}

char *getenv(const char *name)
{
	char *is = VCR_NEXT(getenv)(name);
	return is ? is : no_rdrand(name);
}

char *secure_getenv(const char *name)
{
	char *is = VCR_NEXT(secure_getenv)(name);
	return is ? is : no_rdrand(name);
}

/* ---- syscall(2) ---- */

typedef long call7(long, long, long, long, long, long, long);
VCR_DETERM_EXPORT long vcr_determ_syscall(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");

/* libuv's uv_random, of which V8 makes Math.random from node 26 on: it asks for eight bytes, OpenSSL for more. */
static bool is_for_math(long n)
{
	return vcr_determ.own_tls && n == sizeof(uint64_t);
}

/* Six longs, whatever there are; on by a jump, as the shim does. */
VCR_JUMPS long vcr_determ_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	static void *next;
	if (number == SYS_getrandom && (is_for_math(b) ? answers : answers_others)((void *)a, (size_t)b, __builtin_return_address(0))) {
		if (vcr_determ.bun)
			vcr_determ_seeded(__builtin_frame_address(0), (const void *)a, (size_t)b);
		return b;
	}
	if (number == SYS_clock_gettime)
		return clock_gettime((clockid_t)a, (struct timespec *)b);
	if (number == SYS_gettimeofday)
		return gettimeofday((struct timeval *)a, (void *)b);
	if (number == SYS_futex && d && b & FUTEX_CLOCK_REALTIME) { /* abseil's mutexes, grpc's with them */
		struct timespec until = vcr_determ_real_time((const struct timespec *)d);
		return ((call7 *)vcr_determ_next(&next, "syscall"))(number, a, b, c, (long)&until, e, f);
	}
	VCR_JUMP ((call7 *)vcr_determ_next(&next, "syscall"))(number, a, b, c, d, e, f);
}
