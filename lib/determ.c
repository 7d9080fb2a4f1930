#include "determ.h"
#include "sha256.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Terms ---- */

static const char *const set_name[] = {
#define X(name) #name,
	VCR_DETERM_SET(X)
#undef X
};

static void zone_here(char *to, size_t cap)
{
	static const char mark[] = "/zoneinfo/";
	char link[256];
	const char *tz = getenv("TZ"), *at;
	ssize_t n = tz ? -1 : readlink("/etc/localtime", link, sizeof link - 1);
	link[n > 0 ? n : 0] = 0;
	at = tz ? tz : (at = strstr(link, mark)) ? at + sizeof mark - 1 : "";
	snprintf(to, cap, "%s", strlen(at) < cap ? at : "");
}

/* A word of the text: printable, without blanks. */
static bool is_word(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isgraph((unsigned char)s[i]))
			return false;
	return true;
}

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int vcr_determ_terms_new(struct vcr_determ_terms *t, struct vcr_error *e)
{
	*t = (struct vcr_determ_terms){ .start_us = now_us() };
	if (getrandom(t->seed, sizeof t->seed, 0) != sizeof t->seed)
		return vcr_error_sys(e, errno, "no random numbers are to be had");
	gethostname(t->host, sizeof t->host - 1);
	if (!is_word(t->host, strlen(t->host)))
		*t->host = 0;
	zone_here(t->zone, sizeof t->zone);
	if (!is_word(t->zone, strlen(t->zone)))
		*t->zone = 0;
	for (int i = 0; i < VCR_DETERM_SETS; i++)
		t->set[i] = !getenv(set_name[i]);
	return 0;
}

int vcr_determ_terms_of(struct vcr_determ_terms *t, const char *session_id, int64_t start_us, struct vcr_error *e)
{
	*t = (struct vcr_determ_terms){ .start_us = start_us > 0 ? start_us : now_us() };
	_Static_assert((int)VCR_SHA256 == (int)VCR_DETERM_KEY, "a digest is a key");
	return vcr_sha256(session_id, strlen(session_id), t->seed) ? 0 : vcr_error_set(e, VCR_ENOMEM, "out of memory");
}

void vcr_determ_terms_text(const struct vcr_determ_terms *t, struct vcr_buf *out)
{
	vcr_buf_puts(out, "v2 seed=");
	for (size_t i = 0; i < sizeof t->seed; i++)
		vcr_buf_printf(out, "%02x", t->seed[i]);
	vcr_buf_printf(out, " start=%lld host=%s zone=%s", (long long)t->start_us, t->host, t->zone);
	const char *before = " set=";
	for (int i = 0; i < VCR_DETERM_SETS; i++)
		if (t->set[i]) {
			vcr_buf_printf(out, "%s%s", before, set_name[i]);
			before = ",";
		}
}

static bool take_seed(const char *s, unsigned char seed[VCR_DETERM_KEY])
{
	for (size_t i = 0; i < VCR_DETERM_KEY; i++)
		if (!isxdigit((unsigned char)s[2 * i]) || !isxdigit((unsigned char)s[2 * i + 1]) || sscanf(s + 2 * i, "%2hhx", &seed[i]) != 1)
			return false;
	return s[2 * VCR_DETERM_KEY] == ' ';
}

/* The word that begins with name behind *at; what does not fit is taken for absent. */
static bool take_word(const char **at, const char *name, char *to, size_t cap)
{
	size_t n = strlen(name), k;
	if (strncmp(*at, name, n))
		return false;
	*at += n;
	k = strcspn(*at, " ");
	snprintf(to, cap, "%.*s", k < cap && is_word(*at, k) ? (int)k : 0, *at);
	*at += k;
	*at += strspn(*at, " ");
	return true;
}

/* Names that are none of ours are passed over: whoever wrote the session chooses no others. */
static void take_set(const char *at, bool set[VCR_DETERM_SETS])
{
	static const char name[] = "set=";
	if (strncmp(at, name, sizeof name - 1))
		return;
	for (at += sizeof name - 2; *at && *at != ' ';) {
		size_t n = strcspn(++at, ", ");
		for (int i = 0; i < VCR_DETERM_SETS; i++)
			set[i] |= n == strlen(set_name[i]) && !strncmp(at, set_name[i], n);
		at += n;
	}
}

bool vcr_determ_terms_parse(const char *text, struct vcr_determ_terms *t)
{
	static const char head[] = "v2 seed=";
	struct vcr_determ_terms is = { 0 };
	char start[24], *end;
	const char *at = text + sizeof head - 1 + 2 * VCR_DETERM_KEY + 1;
	if (strncmp(text, head, sizeof head - 1) || !take_seed(text + sizeof head - 1, is.seed) || !take_word(&at, "start=", start, sizeof start) ||
	    !take_word(&at, "host=", is.host, sizeof is.host) || !take_word(&at, "zone=", is.zone, sizeof is.zone))
		return false;
	is.start_us = strtoll(start, &end, 10);
	if (!*start || *end || is.start_us <= 0 || is.start_us >= VCR_DETERM_LATEST_US)
		return false;
	take_set(at, is.set);
	*t = is;
	return true;
}

void vcr_determ_terms_apply(const struct vcr_determ_terms *t, struct vcr_buf *set)
{
	if (*t->zone)
		setenv("TZ", t->zone, 1);
	for (int i = 0; i < VCR_DETERM_SETS; i++)
		if (t->set[i] && !getenv(set_name[i]) && !setenv(set_name[i], "1", 0))
			vcr_buf_printf(set, "%s%s=1", set->len ? ", " : "", set_name[i]);
}

/* ---- The file ---- */

static int path_of(const char *spool, struct vcr_buf *out)
{
	static const char ending[] = ".spool";
	size_t n = strlen(spool);
	if (n < sizeof ending || strcmp(spool + n - (sizeof ending - 1), ending))
		return VCR_EINVAL;
	vcr_buf_add(out, spool, n - (sizeof ending - 1));
	return vcr_buf_puts(out, ".determ");
}

static struct vcr_determ_page *map(int fd)
{
	void *p = mmap(NULL, sizeof(struct vcr_determ_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static uint64_t mono_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int vcr_determ_make(const char *spool, const struct vcr_determ_terms *t, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (path_of(spool, &path))
		return vcr_error_set(e, VCR_EINVAL, "%s: not a spool", spool);
	int fd = open(path.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = fd < 0 ? errno : posix_fallocate(fd, 0, sizeof(struct vcr_determ_page)); /* a hole could not be filled when memory is short */
	struct vcr_determ_page *p = err ? NULL : map(fd);
	if (fd >= 0)
		close(fd);
	if (!p) {
		err = vcr_error_sys(e, err ? err : errno, "cannot make %s", path.data);
		if (fd >= 0)
			unlink(path.data);
		return err;
	}
	memcpy(p->seed, t->seed, sizeof p->seed);
	memcpy(p->host, t->host, sizeof p->host);
	p->clock = (uint64_t)t->start_us;
	p->set_ns = mono_ns();
	memcpy(p->magic, VCR_DETERM_MAGIC, sizeof p->magic);
	vcr_determ_close(p);
	return 0;
}

void vcr_determ_remove(const char *spool)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (!path_of(spool, &path))
		unlink(path.data);
}

struct vcr_determ_page *vcr_determ_open(const char *spool)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct stat st;
	int fd = path_of(spool, &path) ? -1 : open(path.data, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct vcr_determ_page *p = fd < 0 || fstat(fd, &st) || st.st_size != sizeof *p ? NULL : map(fd);
	if (fd >= 0)
		close(fd);
	if (p && memcmp(p->magic, VCR_DETERM_MAGIC, sizeof p->magic)) {
		vcr_determ_close(p);
		return NULL;
	}
	return p;
}

void vcr_determ_close(struct vcr_determ_page *p)
{
	if (p)
		munmap(p, sizeof *p);
}

void vcr_determ_answered(struct vcr_determ_page *p, int64_t us)
{
	uint64_t is = __atomic_load_n(&p->clock, __ATOMIC_ACQUIRE);
	while (us > 0 && us < VCR_DETERM_LATEST_US && is < (uint64_t)us)
		if (__atomic_compare_exchange_n(&p->clock, &is, (uint64_t)us, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			break;
	__atomic_store_n(&p->set_ns, mono_ns(), __ATOMIC_RELEASE);
}
