#include "spool-write.h"
#include "spool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PART = 256 << 10, GROW_STEP = 1 << 20, AHEAD = 64 << 10, PAGE = 4096,
	ROOM_WAIT_MS = 1000 /* how long a record waits for room in all, */, STILL_MS = 200 /* and for a collector that reads nothing */ };

struct vcr_spool_writer {
	int fd;
	char *map;
	uint64_t mapped;      /* bytes of it; less than all where address space is limited */
	struct vcr_spool_header *h;
	uint64_t end, there;  /* there: so far the pages are in our memory already */
	bool full;            /* what could not be had last was room, which may come */
};

static char *map_file(struct vcr_spool_writer *w)
{
	char *map = MAP_FAILED;
	for (w->mapped = VCR_SPOOL_VIRTUAL; w->mapped >= VCR_SPOOL_LEAST; w->mapped >>= 3)
		if ((map = mmap(NULL, w->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, w->fd, 0)) != MAP_FAILED)
			break;
	return map;
}

int vcr_spool_writer_new(struct vcr_spool_writer **out, const char *path, struct vcr_error *e)
{
	struct vcr_spool_writer *w = calloc(1, sizeof *w);
	struct stat st;
	if (!w)
		return vcr_error_set(e, VCR_ENOMEM, "%s: out of memory", path);
	int err = 0;
	w->map = MAP_FAILED;
	w->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (w->fd < 0)
		err = vcr_error_sys(e, errno, "%s", path);
	else if (fstat(w->fd, &st) || st.st_size < VCR_SPOOL_HEADER)
		err = vcr_error_set(e, VCR_ETRUNC, "%s: shorter than a spool's header", path);
	else if ((w->map = map_file(w)) == MAP_FAILED)
		err = vcr_error_sys(e, errno, "cannot map %s", path);
	w->h = (struct vcr_spool_header *)(void *)w->map;
	if (!err && (memcmp(w->h->magic, VCR_SPOOL_MAGIC, sizeof w->h->magic) || w->h->version != VCR_SPOOL_VERSION))
		err = vcr_error_set(e, VCR_ECORRUPT, "%s: not a spool of this version", path);
	if (err)
		vcr_spool_writer_free(w);
	else
		*out = w;
	return err;
}

void vcr_spool_writer_free(struct vcr_spool_writer *w)
{
	if (!w)
		return;
	if (w->map != MAP_FAILED)
		munmap(w->map, w->mapped);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

struct vcr_spool_header *vcr_spool_writer_header(struct vcr_spool_writer *w)
{
	return w->h;
}

uint64_t vcr_spool_writer_end(const struct vcr_spool_writer *w)
{
	return w->end;
}

uint32_t vcr_spool_writer_conn(struct vcr_spool_writer *w)
{
	uint32_t n = __atomic_fetch_add(&w->h->next_conn, 1, __ATOMIC_RELAXED);
	return n ? n : __atomic_fetch_add(&w->h->next_conn, 1, __ATOMIC_RELAXED);
}

bool vcr_spool_writer_muted(const struct vcr_spool_writer *w, uint32_t conn)
{
	return __atomic_load_n(&w->h->mute[conn % VCR_SPOOL_MUTES], __ATOMIC_RELAXED) == conn;
}

/* 0, or an errno. */
static int allocate(struct vcr_spool_writer *w, uint64_t from, uint64_t to)
{
	return to - from > VCR_SPOOL_BACKLOG ? EFBIG : posix_fallocate(w->fd, (off_t)from, (off_t)(to - from));
}

/* Up to where the file reaches when `end` is to be written; 0: not so far. `limit` may be somebody's scribble, and beyond the true end is SIGBUS. */
static uint64_t grow(struct vcr_spool_writer *w, uint64_t end)
{
	uint64_t limit = __atomic_load_n(&w->h->limit, __ATOMIC_ACQUIRE);
	struct stat st;
	w->full = false;
	if (end > w->mapped || fstat(w->fd, &st))
		return 0;
	uint64_t size = (uint64_t)st.st_size;
	if (end > size) {
		uint64_t want = (end + GROW_STEP) & ~(uint64_t)(GROW_STEP - 1);
		int err = allocate(w, size, want);
		if (err == ENOSPC)
			err = allocate(w, size, want = (end + PAGE - 1) & ~(uint64_t)(PAGE - 1));
		w->full = err == ENOSPC;
		if (err)
			return 0;
		size = want;
	}
	while (limit < size && !__atomic_compare_exchange_n(&w->h->limit, &limit, size, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	return size;
}

/* As the shim does: a collector that reads nothing nobody waits for again until it has. ms: what this record may still wait. */
static bool wait_for_room(struct vcr_spool_writer *w, int *ms)
{
	static const struct timespec slice = { 0, 1000000 };
	uint64_t head = __atomic_load_n(&w->h->head, __ATOMIC_ACQUIRE);
	if (__atomic_load_n(&w->h->collector, __ATOMIC_ACQUIRE) != VCR_COLLECTOR_RUNNING || __atomic_load_n(&w->h->vain, __ATOMIC_RELAXED) == head)
		return false;
	vcr_spool_writer_ring(w);
	for (int still = 0; *ms > 0; still++, --*ms) {
		if (__atomic_load_n(&w->h->head, __ATOMIC_ACQUIRE) != head)
			return true;
		if (still == STILL_MS) {
			__atomic_store_n(&w->h->vain, head, __ATOMIC_RELAXED);
			return false;
		}
		nanosleep(&slice, NULL);
	}
	return false;
}

/* As `grow`, where the collector is not too far behind. */
static uint64_t room_for(struct vcr_spool_writer *w, uint64_t n)
{
	uint64_t tail = __atomic_load_n(&w->h->tail, __ATOMIC_ACQUIRE);
	w->full = tail - __atomic_load_n(&w->h->head, __ATOMIC_ACQUIRE) > VCR_SPOOL_BACKLOG;
	return w->full ? 0 : grow(w, tail + n);
}

static uint64_t reserve(struct vcr_spool_writer *w, uint64_t n)
{
	int ms = ROOM_WAIT_MS;
	uint64_t size;
	while (!(size = room_for(w, n)))
		if (!w->full || !wait_for_room(w, &ms))
			return 0;
	uint64_t at = __atomic_fetch_add(&w->h->tail, n, __ATOMIC_ACQ_REL);
	if (at % VCR_SPOOL_ALIGN || at < VCR_SPOOL_HEADER || at > w->mapped - n)
		return 0;
	while (at + n > size && !(size = grow(w, at + n))) /* others were faster */
		if (!w->full || !wait_for_room(w, &ms))
			return 0;
	return at;
}

static bool append(struct vcr_spool_writer *w, const struct vcr_spool_append *a, const char *data, size_t size)
{
	size_t all = a->nhead + size;
	uint64_t n = (sizeof(struct vcr_spool_record) + all + VCR_SPOOL_ALIGN - 1) & ~(uint64_t)(VCR_SPOOL_ALIGN - 1);
	uint64_t at = all <= VCR_SPOOL_MAX_RECORD ? reserve(w, n) : 0;
	if (!at) {
		vcr_spool_drop(w->h, a->pid, 1, all);
		return false;
	}
	struct vcr_spool_record *r = (void *)(w->map + at);
	char *payload = (char *)(r + 1);
	__atomic_store_n((uint64_t *)(void *)r, VCR_REC_BUSY | n << 32, __ATOMIC_RELEASE);
	if (a->nhead)
		memcpy(payload, a->head, a->nhead);
	if (size)
		memcpy(payload + a->nhead, data, size);
	r->time_ns = a->time_ns;
	r->type = a->type;
	r->conn = a->conn;
	r->pid = r->tid = a->pid;
	r->size = (uint32_t)all;
	r->seq = at;
	r->crc = vcr_spool_crc(payload, all);
	__atomic_store_n((uint64_t *)(void *)r, VCR_REC_READY | n << 32, __ATOMIC_RELEASE);
	w->end = at + n;
	return true;
}

void vcr_spool_writer_ring(struct vcr_spool_writer *w)
{
	__atomic_fetch_add(&w->h->doorbell, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&w->h->sleeping, __ATOMIC_SEQ_CST))
		vcr_spool_wake(&w->h->doorbell);
}

void vcr_spool_writer_prepare(struct vcr_spool_writer *w)
{
#ifdef MADV_POPULATE_WRITE
	uint64_t limit = __atomic_load_n(&w->h->limit, __ATOMIC_ACQUIRE), from = w->there > w->end ? w->there : w->end & ~(uint64_t)(PAGE - 1), upto = from + AHEAD;
	if (w->end + AHEAD / 2 > w->there && upto <= limit && upto <= w->mapped && !madvise(w->map + from, AHEAD, MADV_POPULATE_WRITE))
		w->there = upto;
#endif
}

bool vcr_spool_writer_append(struct vcr_spool_writer *w, const struct vcr_spool_append *a)
{
	bool in_parts = a->type == VCR_REC_OUT || a->type == VCR_REC_IN, ok = true;
	const char *p = a->data;
	size_t left = a->n;
	do {
		size_t part = in_parts && left > PART ? PART : left;
		left -= part;
		ok &= append(w, a, p, part);
		p += part;
	} while (left);
	return ok;
}
