/* determ.c — which process this is, in words that are the same in the next run: whose child, of what name, the how manieth. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sys/auxv.h>
#include "determ.h"
#include "spool-format.h"

enum { PATH_ROOM = 4096, ENVIRON_ROOM = 4096 };

struct vcr_determ vcr_determ;

void *vcr_determ_next(void **cache, const char *name)
{
	void *p = __atomic_load_n(cache, __ATOMIC_RELAXED);
	if (!p)
		__atomic_store_n(cache, p = dlsym(RTLD_NEXT, name), __ATOMIC_RELAXED);
	return p;
}

/* ---- Keys ---- */

static uint64_t hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325;
	while (*s)
		h = (h ^ (unsigned char)*s++) * 0x100000001b3;
	return h;
}

void vcr_determ_derive(const unsigned char key[VCR_DETERM_KEY], const char *kind, uint64_t n, unsigned char out[VCR_DETERM_KEY])
{
	unsigned char block[VCR_CHACHA_BLOCK];
	vcr_chacha_block(key, hash(kind), n, block);
	memcpy(out, block, VCR_DETERM_KEY);
}

/* The how manieth child of that kind: counted where all can see it, under a number that only that key and kind give. */
static uint64_t ordinal(const unsigned char key[VCR_DETERM_KEY], const char *kind)
{
	struct vcr_determ_page *p = vcr_determ.page;
	unsigned char id[VCR_DETERM_KEY];
	uint64_t mine;
	vcr_determ_derive(key, kind, UINT64_MAX, id);
	memcpy(&mine, id, sizeof mine);
	mine |= 1;
	for (uint64_t i = 0; i < VCR_DETERM_PROBE; i++) {
		uint64_t *at = &p->count[(mine + i) % VCR_DETERM_COUNTS].key, is = 0;
		if (__atomic_load_n(at, __ATOMIC_RELAXED) == mine || __atomic_compare_exchange_n(at, &is, mine, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) || is == mine)
			return __atomic_fetch_add(&p->count[(mine + i) % VCR_DETERM_COUNTS].n, 1, __ATOMIC_RELAXED);
	}
	return (1ull << 32) + __atomic_fetch_add(&p->crowded, 1, __ATOMIC_RELAXED);
}

static struct vcr_determ_process *find(int pid)
{
	for (int i = 0; pid > 0 && i < VCR_DETERM_PROBE; i++) { /* a parent outside of the command's namespace has the number 0 */
		struct vcr_determ_process *p = &vcr_determ.page->process[(unsigned)(pid + i) % VCR_DETERM_PROCESSES];
		if (__atomic_load_n(&p->pid, __ATOMIC_ACQUIRE) == (uint64_t)pid)
			return p;
	}
	return NULL;
}

/* In a free place, else in that of one that is no more likely to start somebody than others: the first. */
static void enter(int pid, const unsigned char key[VCR_DETERM_KEY], uint64_t starts)
{
	struct vcr_determ_process *p = find(pid);
	for (int i = 0; !p && i < VCR_DETERM_PROBE; i++) {
		struct vcr_determ_process *at = &vcr_determ.page->process[(unsigned)(pid + i) % VCR_DETERM_PROCESSES];
		uint64_t none = 0;
		if (__atomic_compare_exchange_n(&at->pid, &none, (uint64_t)pid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			p = at;
	}
	if (!p)
		p = &vcr_determ.page->process[(unsigned)pid % VCR_DETERM_PROCESSES];
	memcpy(p->key, key, VCR_DETERM_KEY);
	__atomic_store_n(&p->starts, starts, __ATOMIC_RELAXED);
	__atomic_store_n(&p->pid, (uint64_t)pid, __ATOMIC_RELEASE);
	vcr_determ.self = p;
}

uint64_t vcr_determ_starts(void)
{
	return __atomic_load_n(&vcr_determ.self->starts, __ATOMIC_RELAXED);
}

/* An exec keeps the number; a child that was started without a fork we saw (vfork, posix_spawn) is its parent's next of that name. */
static void find_key(void)
{
	unsigned char of[VCR_DETERM_KEY];
	const char *name = program_invocation_short_name;
	struct vcr_determ_process *mine = find(vcr_determ.pid), *parent = mine ? NULL : find((int)vcr_call3(SYS_getppid, 0, 0, 0));
	uint64_t starts = mine ? mine->starts : parent ? __atomic_add_fetch(&parent->starts, 1, __ATOMIC_RELAXED) : 0;
	memcpy(of, mine ? mine->key : parent ? parent->key : vcr_determ.page->seed, sizeof of);
	vcr_determ_derive(of, name, ordinal(of, name), vcr_determ.key);
	enter(vcr_determ.pid, vcr_determ.key, starts);
}

static void before_fork(void)
{
	__atomic_fetch_add(&vcr_determ.forks, 1, __ATOMIC_RELAXED);
	if (__atomic_load_n(&vcr_determ.ready, __ATOMIC_ACQUIRE) == 2)
		vcr_determ.begun = __atomic_add_fetch(&vcr_determ.self->starts, 1, __ATOMIC_RELAXED);
}

static void in_child(void)
{
	unsigned char of[VCR_DETERM_KEY];
	if (__atomic_load_n(&vcr_determ.ready, __ATOMIC_ACQUIRE) != 2)
		return;
	memcpy(of, vcr_determ.key, sizeof of);
	vcr_determ_derive(of, "fork", vcr_determ.forks, vcr_determ.key);
	vcr_determ.pid = raw_getpid();
	vcr_determ.forks = vcr_determ.threads = 0;
	enter(vcr_determ.pid, vcr_determ.key, vcr_determ.begun);
}

/* ---- The page ---- */

static const char *value_of(const char *entry, size_t n)
{
	static const char name[] = VCR_ENV_SPOOL "=";
	return n >= sizeof name && !memcmp(entry, name, sizeof name - 1) ? entry + sizeof name - 1 : NULL;
}

/* The variable is hidden from the program by the shim, which may have come first; the kernel shows what was there at the beginning. */
static bool spool_path(char out[PATH_ROOM])
{
	char text[ENVIRON_ROOM + 1];
	for (char **at = environ; at && *at; at++) {
		const char *value = value_of(*at, strlen(*at));
		if (value && strlen(value) < PATH_ROOM)
			return strcpy(out, value);
	}
	int fd = raw_open("/proc/self/environ", O_RDONLY | O_CLOEXEC, 0);
	uint64_t from = 0;
	for (long n; fd >= 0 && (n = raw_pread(fd, text, ENVIRON_ROOM, from)) > 0;) {
		text[n] = 0;
		size_t length = strlen(text); /* an entry that is longer than the room goes by in parts */
		const char *value = value_of(text, length);
		if (value) {
			raw_close(fd);
			strcpy(out, value);
			return (long)length < n;
		}
		from += length < (size_t)n ? length + 1 : length;
	}
	if (fd >= 0)
		raw_close(fd);
	return false;
}

static bool map_page(void)
{
	char path[PATH_ROOM + 8];
	struct stat st;
	if (!spool_path(path))
		return false;
	char *begin = strchr(path, ':'), *end = begin ? strrchr(begin, '.') : NULL;
	if (!end || begin[1] != '/' || strcmp(end, ".spool"))
		return false;
	strcpy(end, ".determ");
	int fd = raw_open(begin + 1, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return false;
	void *p = raw_fstat(fd, &st) || st.st_size != sizeof(struct vcr_determ_page) ? (void *)-1l
		: (void *)vcr_call6(SYS_mmap, 0, (long)sizeof(struct vcr_determ_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	raw_close(fd);
	if (raw_failed(p) || memcmp(p, VCR_DETERM_MAGIC, sizeof vcr_determ.page->magic))
		return false;
	vcr_determ.page = p;
	return true;
}

/* ---- The program ---- */

static bool is_one_of(const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(program_invocation_short_name, *list))
			return true;
	return false;
}

/* Keys that such a program makes are for the world outside. An interpreter that draws through functions of its own is told apart by these. */
static bool is_of_cryptography(void)
{
	static const char *const names[] = { "ssh", "sshd", "ssh-keygen", "ssh-agent", "gpg", "gpg2", "gpg-agent", "wg", "cryptsetup", "openssl", "certtool", NULL };
	static const char *const functions[] = { "RAND_bytes", "gnutls_global_init", "gcry_check_version", "NSS_NoDB_Init", "sodium_init", "mbedtls_ctr_drbg_init", "wolfSSL_Init" };
	if (vcr_determ.python || vcr_determ.own_tls)
		return false;
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		if (dlsym(RTLD_NEXT, functions[i]))
			return true;
	return is_one_of(names);
}

static void look_at_program(void)
{
	static const char *const of_files[] = { "make", "gmake", "ls", "find", "tar", "rsync", "cpio", NULL };
	vcr_determ.python = dlsym(RTLD_DEFAULT, "Py_BytesMain") != NULL;
	vcr_determ.own_random = is_of_cryptography();
	vcr_determ.own_clock = is_one_of(of_files);
}

void vcr_determ_start(void)
{
	uint32_t fresh = 0;
	int saved = errno;
	if (!environ || !__atomic_compare_exchange_n(&vcr_determ.ready, &fresh, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	vcr_determ.pid = raw_getpid();
	bool on = !getauxval(AT_SECURE) && map_page();
	if (on) {
		look_at_program();
		find_key();
		vcr_determ_patch();
		on = !pthread_atfork(before_fork, NULL, in_child);
	}
	__atomic_store_n(&vcr_determ.ready, on ? 2 : 3, __ATOMIC_RELEASE);
	errno = saved;
}

__attribute__((constructor)) static void load(void)
{
	vcr_determ_on();
}
