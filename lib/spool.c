#include "spool.h"
#include "determ.h"
#include "buf.h"
#include "crc-machine.h"
#include "paths.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum {
	WAIT_MS = 500,                /* how long an unfinished record of a live writer is waited for, */
	LOOK_MS = 25,                 /* of which that much at most between two looks: who was kept from looking has not seen that the writer was not */
	ASK_AGAIN = 64,               /* records after which the file's size is asked for again */
	PUNCH_STEP = 1 << 20,
	PUNCH_LEAST = 64 << 10,       /* where there is little room */
	LITTLE_ROOM = 8 << 20,
	GROW_AHEAD = 512 << 10,       /* kept allocated in front of tail, off the writers' threads; */
	GROW_FAR = 4 << 20,           /* and for those who cannot do it themselves and write on while we have no core */
	GROW_STEP = 1 << 20,
	GROW_LITTLE = 320 << 10,      /* one record of bytes, and more */
	PIECE = 16 << 20, PIECE_ALIGN = 1 << 20, /* what is mapped at once where not all of it can be */
	GROW_MOST = 64 << 20,         /* at once: a damaged tail must not make us fill the machine's memory */
};

struct vcr_spool {
	char *path;
	int fd, lock;
	char *map;                    /* `mapped` bytes: all of it, or the header where there is not so much address space */
	uint64_t mapped;
	char *piece;                  /* PIECE bytes from piece_at; NULL none */
	uint64_t piece_at;
	struct vcr_spool_header *h;
	uint64_t at;                  /* next record to look at */
	uint64_t size;                /* of the file, as asked for the record before; 0: ask */
	unsigned asked;               /* records since then */
	uint64_t punched;
	uint32_t bell;                /* doorbell as it was before the last look at tail */
	uint64_t looked_ns, waited_ns; /* when the record at `at` was last found unfinished, 0 not; and for how long it has been waited for */
	struct vcr_spool_losses losses;
	char *copy;
	size_t copy_cap;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

uint64_t vcr_spool_start_time(int pid)
{
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = 0;
	char *p = strrchr(text, ')');
	if (p && (!strncmp(p, ") Z", 3) || !strncmp(p, ") X", 3)))
		return 0;
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

static void put(char *to, size_t cap, const char *s)
{
	snprintf(to, cap, "%s", s ? s : "");
}

int vcr_spool_create(const struct vcr_spool_make *m, char **path, struct vcr_error *e)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	uint64_t nonce = now_ns(CLOCK_REALTIME);
	int err = vcr_paths_runtime_dir(&name, e);
	if (err)
		return err;
	if (getrandom(&nonce, sizeof nonce, GRND_NONBLOCK) < 0)
		nonce ^= (uint64_t)getpid() << 32;
	vcr_buf_printf(&name, "/r%d-%016llx.spool", (int)getpid(), (unsigned long long)nonce);
	int fd = open(name.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return vcr_error_sys(e, errno, "cannot make the spool %s", name.data);
	struct vcr_spool_header *h = MAP_FAILED;
	if ((err = posix_fallocate(fd, 0, VCR_SPOOL_HEADER + GROW_STEP)) == 0)
		h = mmap(NULL, VCR_SPOOL_HEADER, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (h == MAP_FAILED) {
		err = vcr_error_sys(e, err ? err : errno, "cannot make the spool %s", name.data);
		close(fd);
		unlink(name.data);
		return err;
	}
	close(fd);
	memcpy(h->magic, VCR_SPOOL_MAGIC, sizeof h->magic);
	h->version = VCR_SPOOL_VERSION;
	h->flags = m->flags;
	h->root_pid = m->root_pid;
	h->root_start = m->root_pid ? vcr_spool_start_time(m->root_pid) : 0;
	h->real_ns = now_ns(CLOCK_REALTIME);
	h->mono_ns = now_ns(CLOCK_MONOTONIC);
	put(h->session, sizeof h->session, m->session_id);
	put(h->start_dir, sizeof h->start_dir, m->start_dir);
	put(h->workspace, sizeof h->workspace, m->workspace);
	if (strlen(m->workspace) < sizeof h->workspace_near)
		put(h->workspace_near, sizeof h->workspace_near, m->workspace);
	put(h->vcr_dir, sizeof h->vcr_dir, m->vcr_dir);
	h->hwcap = getauxval(AT_HWCAP);
	h->crc = vcr_crc_how();
	h->tail = h->head = VCR_SPOOL_HEADER;
	h->limit = VCR_SPOOL_HEADER + GROW_STEP;
	__atomic_store_n(&h->state, VCR_SPOOL_OPEN, __ATOMIC_RELEASE);
	munmap(h, VCR_SPOOL_HEADER);
	*path = vcr_buf_take(&name, NULL);
	return *path ? 0 : vcr_error_set(e, VCR_ENOMEM, "spool: out of memory");
}

static bool header_ok(const struct vcr_spool_header *h, off_t size)
{
	return !memcmp(h->magic, VCR_SPOOL_MAGIC, sizeof h->magic) && h->version == VCR_SPOOL_VERSION && h->head >= VCR_SPOOL_HEADER &&
		h->head % VCR_SPOOL_ALIGN == 0 && h->head <= (uint64_t)size && memchr(h->session, 0, sizeof h->session) &&
		memchr(h->start_dir, 0, sizeof h->start_dir) && memchr(h->workspace, 0, sizeof h->workspace) && memchr(h->vcr_dir, 0, sizeof h->vcr_dir);
}

/* 64 GB of addresses, or just the header: then the records are mapped piece by piece. */
static char *map_file(struct vcr_spool *s)
{
	s->mapped = VCR_SPOOL_VIRTUAL;
	char *map = mmap(NULL, s->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s->fd, 0);
	if (map != MAP_FAILED)
		return map;
	s->mapped = VCR_SPOOL_HEADER;
	return mmap(NULL, s->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
}

/* n bytes at that offset, up to the next call; NULL: they cannot be mapped. */
static char *bytes_at(struct vcr_spool *s, uint64_t at, uint64_t n)
{
	if (at + n <= s->mapped)
		return s->map + at;
	if (s->piece && at >= s->piece_at && at + n <= s->piece_at + PIECE)
		return s->piece + (at - s->piece_at);
	if (s->piece)
		munmap(s->piece, PIECE);
	s->piece_at = at & ~(uint64_t)(PIECE_ALIGN - 1);
	s->piece = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s->fd, (off_t)s->piece_at);
	if (s->piece == MAP_FAILED)
		s->piece = NULL;
	return s->piece && n <= PIECE - PIECE_ALIGN ? s->piece + (at - s->piece_at) : NULL;
}

int vcr_spool_attach(struct vcr_spool **out, const char *path, struct vcr_error *e)
{
	VCR_AUTO_BUF lock = VCR_BUF_INIT;
	struct vcr_spool *s = calloc(1, sizeof *s);
	struct stat st, there;
	if (!s || !(s->path = strdup(path)) || vcr_buf_printf(&lock, "%s.lock", path)) {
		free(s);
		return vcr_error_set(e, VCR_ENOMEM, "%s: out of memory", path);
	}
	int err = 0;
	s->map = MAP_FAILED;
	s->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	s->lock = s->fd < 0 ? -1 : open(lock.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->fd < 0 || s->lock < 0)
		err = vcr_error_sys(e, errno, "%s", s->fd < 0 ? path : lock.data);
	else if (flock(s->lock, LOCK_EX | LOCK_NB))
		err = errno == EWOULDBLOCK ? vcr_error_set(e, VCR_EBUSY, "%s: another collector reads it", path) : vcr_error_sys(e, errno, "%s", lock.data);
	else if (fstat(s->fd, &st) || st.st_size < VCR_SPOOL_HEADER)
		err = vcr_error_set(e, VCR_ETRUNC, "%s: shorter than a spool's header", path);
	else if (stat(path, &there) || there.st_ino != st.st_ino || there.st_dev != st.st_dev)
		err = vcr_error_set(e, VCR_ENOTFOUND, "%s: removed by who has read it", path); /* with its lock, which was another's until then */
	else if ((s->map = map_file(s)) == MAP_FAILED)
		err = vcr_error_sys(e, errno, "cannot map %s", path);
	else if (!header_ok((struct vcr_spool_header *)s->map, st.st_size))
		err = vcr_error_set(e, VCR_ECORRUPT, "%s: not a spool of this version", path);
	if (err) {
		vcr_spool_free(s);
		return err;
	}
	s->h = (struct vcr_spool_header *)s->map;
	s->at = s->punched = s->h->head;
	*out = s;
	return 0;
}

void vcr_spool_free(struct vcr_spool *s)
{
	if (!s)
		return;
	if (s->map && s->map != MAP_FAILED)
		munmap(s->map, s->mapped);
	if (s->piece)
		munmap(s->piece, PIECE);
	if (s->fd >= 0)
		close(s->fd);
	if (s->lock >= 0)
		close(s->lock);
	free(s->copy);
	free(s->path);
	free(s);
}

int vcr_spool_remove(struct vcr_spool *s)
{
	VCR_AUTO_BUF lock = VCR_BUF_INIT;
	vcr_buf_printf(&lock, "%s.lock", s->path);
	int err = unlink(s->path) ? VCR_EIO : 0;
	unlink(lock.data);
	vcr_determ_remove(s->path);
	return err;
}

struct vcr_spool_header *vcr_spool_header(struct vcr_spool *s)
{
	return s->h;
}

/* CRC-32C by eight tables (Intel's slicing-by-8), for machines without the instruction. */
static uint32_t crc_by_table(const void *p, size_t n)
{
	static uint32_t table[8][256];
	static bool ready;
	if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
		for (unsigned i = 0; i < 256; i++) {
			uint32_t c = i;
			for (int k = 0; k < 8; k++)
				c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
			table[0][i] = c;
		}
		for (unsigned i = 0; i < 256; i++)
			for (int k = 1; k < 8; k++)
				table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
		__atomic_store_n(&ready, true, __ATOMIC_RELEASE);
	}
	const unsigned char *b = p;
	uint32_t c = ~0u;
	for (; n >= 8; n -= 8, b += 8) {
		uint32_t lo, hi;
		memcpy(&lo, b, 4);
		memcpy(&hi, b + 4, 4);
		lo ^= c;
		c = table[7][lo & 255] ^ table[6][lo >> 8 & 255] ^ table[5][lo >> 16 & 255] ^ table[4][lo >> 24] ^
			table[3][hi & 255] ^ table[2][hi >> 8 & 255] ^ table[1][hi >> 16 & 255] ^ table[0][hi >> 24];
	}
	while (n--)
		c = c >> 8 ^ table[0][(c ^ *b++) & 255];
	return ~c;
}

uint32_t vcr_spool_crc(const void *p, size_t n)
{
	static uint32_t how; /* enum vcr_crc_how */
	uint32_t now = __atomic_load_n(&how, __ATOMIC_RELAXED);
	if (!now)
		__atomic_store_n(&how, now = vcr_crc_how(), __ATOMIC_RELAXED);
	return now == VCR_CRC_MACHINE ? ~vcr_crc_machine(~0u, p, n) : crc_by_table(p, n);
}

/* A record's header, copied out of the shared memory before it is looked at. */
static struct vcr_spool_record record_at(struct vcr_spool *s, uint64_t at)
{
	struct vcr_spool_record r = { 0 };
	const char *p = bytes_at(s, at, sizeof r);
	if (!p)
		return r; /* as one that is not finished */
	uint64_t first = __atomic_load_n((const uint64_t *)(const void *)p, __ATOMIC_ACQUIRE);
	memcpy(&r, p, sizeof r);
	memcpy(&r, &first, sizeof first);
	return r;
}

static bool plausible(const struct vcr_spool_record *r, uint64_t at, uint64_t end)
{
	return r->length >= sizeof *r && r->length <= VCR_SPOOL_MAX_RECORD + 2 * sizeof *r && r->length % VCR_SPOOL_ALIGN == 0 && r->length <= end - at;
}

static bool is_whole(uint32_t state)
{
	return state == VCR_REC_READY || state == VCR_REC_CLOSED || state == VCR_REC_TAKEN;
}

static bool ready(const struct vcr_spool_record *r, uint64_t at, uint64_t end)
{
	/* The length says again what the size says: a record with one of them damaged would take its neighbour with it. */
	return is_whole(r->state) && plausible(r, at, end) && r->seq == at && r->size <= r->length - sizeof *r &&
		r->length - sizeof *r - r->size < VCR_SPOOL_ALIGN;
}

/* Bytes of the file that can be read: never beyond its true size, whatever the header says. It is asked for again each time that we have waited, and
 * now and then: it grows, and nobody but an enemy of his own recording makes it smaller. */
static uint64_t readable_end(struct vcr_spool *s)
{
	struct stat st;
	uint64_t tail = __atomic_load_n(&s->h->tail, __ATOMIC_ACQUIRE);
	if (tail > s->size || ++s->asked % ASK_AGAIN == 0) {
		if (fstat(s->fd, &st))
			return s->at;
		s->size = (uint64_t)st.st_size;
	}
	return tail < s->size ? tail : s->size;
}

static int copy_payload(struct vcr_spool *s, const struct vcr_spool_record *r, uint64_t at)
{
	if (r->size + 1 > s->copy_cap) {
		char *p = realloc(s->copy, r->size + 1);
		if (!p)
			return VCR_ENOMEM;
		s->copy = p;
		s->copy_cap = r->size + 1;
	}
	const char *payload = bytes_at(s, at + sizeof *r, r->size);
	if (!payload)
		return VCR_ENOMEM;
	memcpy(s->copy, payload, r->size);
	s->copy[r->size] = 0;
	return 0;
}

/* What stands at `at` is no record and will not become one: go on to the next valid record. */
static void skip_broken(struct vcr_spool *s, uint64_t end)
{
	uint64_t from = s->at;
	struct vcr_spool_record r = record_at(s, s->at);
	if (r.state == VCR_REC_BUSY && plausible(&r, s->at, end)) {
		s->losses.cut++;
		s->at += r.length;
		return;
	}
	do {
		s->at += VCR_SPOOL_ALIGN;
		if (s->at + sizeof r > end)
			break;
		r = record_at(s, s->at);
	} while (!ready(&r, s->at, end) && !(r.state == VCR_REC_BUSY && r.seq == s->at && plausible(&r, s->at, end)));
	if (s->at > end)
		s->at = end;
	s->losses.skipped_bytes += s->at - from;
}

/* Unfinished record: 1 wait for it, 0 it was given up and skipped. */
static int wait_or_skip(struct vcr_spool *s, uint64_t end, bool dead)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC);
	if (!dead) {
		uint64_t since = s->looked_ns ? now - s->looked_ns : 0;
		s->waited_ns = s->looked_ns ? s->waited_ns + (since < LOOK_MS * 1000000ull ? since : LOOK_MS * 1000000ull) : 0;
		s->looked_ns = now;
		if (s->waited_ns < WAIT_MS * 1000000ull)
			return 1;
	}
	s->looked_ns = 0;
	skip_broken(s, end);
	return 0;
}

/* From here on its writer adds nothing more to it; what it has added is in r. */
static void take(struct vcr_spool *s, struct vcr_spool_record *r)
{
	struct vcr_spool_record *there = (void *)bytes_at(s, r->seq, sizeof *r);
	uint64_t was = VCR_REC_READY | (uint64_t)r->length << 32, taken = VCR_REC_TAKEN | (uint64_t)r->length << 32;
	if (!there || __atomic_compare_exchange_n((uint64_t *)(void *)there, &was, taken, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	r->state = (uint32_t)was;
	r->closed_ns = __atomic_load_n(&there->closed_ns, __ATOMIC_RELAXED);
}

bool vcr_spool_holds(struct vcr_spool *s, unsigned n)
{
	uint64_t end = readable_end(s), at = s->at;
	for (; n && at + sizeof(struct vcr_spool_record) <= end; n--) {
		struct vcr_spool_record r = record_at(s, at);
		if (!ready(&r, at, end))
			break;
		at += r.length;
	}
	return !n;
}

int vcr_spool_next(struct vcr_spool *s, bool dead, struct vcr_spool_event *ev)
{
	for (;;) {
		s->bell = __atomic_load_n(&s->h->doorbell, __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&s->h->tail, __ATOMIC_ACQUIRE) == s->at) {
			s->size = 0;
			return 1;
		}
		uint64_t end = readable_end(s);
		if (s->at + sizeof(struct vcr_spool_record) > end) {
			if (dead && end > s->at) {
				s->losses.skipped_bytes += end - s->at;
				s->at = end;
			}
			return 1;
		}
		struct vcr_spool_record r = record_at(s, s->at);
		if (!ready(&r, s->at, end)) {
			if (wait_or_skip(s, end, dead))
				return 1;
			continue;
		}
		s->looked_ns = 0;
		if (r.type == VCR_REC_FILE)
			take(s, &r);
		if (copy_payload(s, &r, s->at))
			return 1;
		if (vcr_spool_crc(s->copy, r.size) != r.crc) {
			s->losses.bad_crc++;
			s->at += r.length;
			continue;
		}
		*ev = (struct vcr_spool_event){ .type = r.type, .conn = r.conn, .size = r.size, .pid = r.pid, .tid = r.tid,
			.time_ns = r.time_ns, .seq = s->at, .payload = s->copy, .closed = r.state == VCR_REC_CLOSED, .closed_ns = r.closed_ns };
		s->at += r.length;
		return 0;
	}
}

uint64_t vcr_spool_room(const struct vcr_spool *s)
{
	struct statfs fs;
	return fstatfs(s->fd, &fs) || !fs.f_blocks ? UINT64_MAX : (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize; /* no blocks: a tmpfs without a limit */
}

/* Is it worth a system call to give back what lies before `upto`? */
static bool is_much(const struct vcr_spool *s, uint64_t upto)
{
	return upto >= s->punched + PUNCH_STEP || (upto >= s->punched + PUNCH_LEAST && vcr_spool_room(s) < LITTLE_ROOM);
}

void vcr_spool_consumed(struct vcr_spool *s, uint64_t seq)
{
	if (seq > s->at)
		seq = s->at;
	if (seq <= s->h->head)
		return;
	__atomic_store_n(&s->h->head, seq, __ATOMIC_RELEASE);
	uint64_t upto = seq & ~(uint64_t)4095;
	if (!is_much(s, upto))
		return;
	uint64_t from = (s->punched + 4095) & ~(uint64_t)4095;
	if (!fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(upto - from)))
		s->punched = upto;
}

uint64_t vcr_spool_position(const struct vcr_spool *s)
{
	return s->at;
}

void vcr_spool_grow(struct vcr_spool *s, bool asked)
{
	uint64_t tail = __atomic_load_n(&s->h->tail, __ATOMIC_RELAXED), limit = __atomic_load_n(&s->h->limit, __ATOMIC_RELAXED), ahead = asked ? GROW_FAR : GROW_AHEAD;
	if (tail + ahead <= limit || tail > VCR_SPOOL_VIRTUAL / 2)
		return;
	uint64_t want = (tail + ahead + GROW_STEP) & ~(uint64_t)(GROW_STEP - 1);
	if (vcr_spool_room(s) < LITTLE_ROOM) /* not much then, for those who cannot do it themselves */
		want = (tail + GROW_LITTLE) & ~(uint64_t)4095;
	if (want <= limit || want - limit > GROW_MOST || fallocate(s->fd, 0, (off_t)limit, (off_t)(want - limit)))
		return; /* writers try for themselves and count what they lose */
	while (limit < want && !__atomic_compare_exchange_n(&s->h->limit, &limit, want, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

void vcr_spool_await_scarce(struct vcr_spool *s, uint32_t *seen)
{
	futex(&s->h->scarce, FUTEX_WAIT, *seen, NULL);
	*seen = __atomic_load_n(&s->h->scarce, __ATOMIC_SEQ_CST);
}

void vcr_spool_wait(struct vcr_spool *s, int timeout_ms)
{
	struct timespec t = { timeout_ms / 1000, timeout_ms % 1000 * 1000000l };
	__atomic_store_n(&s->h->sleeping, 1, __ATOMIC_SEQ_CST);
	futex(&s->h->doorbell, FUTEX_WAIT, s->bell, &t);
	__atomic_store_n(&s->h->sleeping, 0, __ATOMIC_SEQ_CST);
}

void vcr_spool_wake(uint32_t *word)
{
	futex(word, FUTEX_WAKE, INT32_MAX, NULL);
}

static void tell_holder(struct vcr_spool_header *h)
{
	if (!__atomic_load_n(&h->held, __ATOMIC_SEQ_CST))
		return;
	__atomic_fetch_add(&h->acted_bell, 1, __ATOMIC_SEQ_CST);
	vcr_spool_wake(&h->acted_bell);
}

void vcr_spool_acted(struct vcr_spool_header *h, uint64_t upto)
{
	__atomic_store_n(&h->acted, upto, __ATOMIC_SEQ_CST);
	tell_holder(h);
}

void vcr_spool_clean(struct vcr_spool_header *h, uint64_t upto)
{
	__atomic_store_n(&h->clean, upto, __ATOMIC_SEQ_CST);
	tell_holder(h);
}

void vcr_spool_await(struct vcr_spool_header *h, uint64_t begun, uint64_t upto, int timeout_us)
{
	uint64_t until = now_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_us * 1000, now;
	__atomic_store_n(&h->held, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		uint32_t bell = __atomic_load_n(&h->acted_bell, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&h->acted, __ATOMIC_SEQ_CST) >= upto || __atomic_load_n(&h->clean, __ATOMIC_SEQ_CST) >= begun || (now = now_ns(CLOCK_MONOTONIC)) >= until)
			break;
		struct timespec left = { (time_t)((until - now) / 1000000000u), (long)((until - now) % 1000000000u) };
		futex(&h->acted_bell, FUTEX_WAIT, bell, &left);
	}
	__atomic_store_n(&h->held, 0, __ATOMIC_SEQ_CST);
}

void vcr_spool_losses(const struct vcr_spool *s, struct vcr_spool_losses *l)
{
	*l = s->losses;
	l->dropped_records = __atomic_load_n(&s->h->dropped_records, __ATOMIC_RELAXED);
	l->dropped_bytes = __atomic_load_n(&s->h->dropped_bytes, __ATOMIC_RELAXED);
}

const char *vcr_spool_string(const struct vcr_spool_event *ev, size_t fixed, unsigned k)
{
	size_t at = fixed;
	while (at < ev->size) {
		if (!k--)
			return ev->payload + at;
		at += strlen(ev->payload + at) + 1;
	}
	return "";
}

/* ---- Who writes ---- */

/* A line "from-to rw-s offset dev inode path" that maps the spool as a writer does. */
static bool maps_spool(const char *line, ino_t inode)
{
	unsigned long long from, to, ino;
	char how[8];
	return sscanf(line, "%llx-%llx %7s %*s %*s %llu", &from, &to, how, &ino) == 4 && ino == inode && to - from >= VCR_SPOOL_NEAR && how[1] == 'w';
}

static bool is_writer(const char *pid, ino_t inode)
{
	char path[64], line[512];
	bool yes = false;
	snprintf(path, sizeof path, "/proc/%.20s/maps", pid);
	FILE *f = fopen(path, "re");
	while (f && !yes && fgets(line, sizeof line, f))
		yes = maps_spool(line, inode);
	if (f)
		fclose(f);
	return yes;
}

static size_t writers_of(ino_t inode, int *pid, size_t n)
{
	struct dirent *ent;
	size_t found = 0;
	DIR *d = opendir("/proc");
	while (d && found < n && (ent = readdir(d))) {
		int k = atoi(ent->d_name);
		if (k > 0 && k != getpid() && is_writer(ent->d_name, inode))
			pid[found++] = k;
	}
	if (d)
		closedir(d);
	return found;
}

size_t vcr_spool_writers(const struct vcr_spool *s, int *pid, size_t n)
{
	struct stat st;
	return fstat(s->fd, &st) ? 0 : writers_of(st.st_ino, pid, n);
}

bool vcr_spool_is_written(const char *path)
{
	struct stat st;
	int pid;
	return !stat(path, &st) && writers_of(st.st_ino, &pid, 1);
}
