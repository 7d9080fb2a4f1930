/* spool.c — making, joining and appending to the session's spool. spool-format.h has the layout and the writer's algorithm;
 * this file is that algorithm with nothing but system calls and atomic operations. */
#include <sys/auxv.h>
#include "shim.h"
#include "crc-machine.h"

enum {
	PAGE = 4096,
	LARGEST_PAGE = 64 << 10,      /* that a kernel has: what is mapped begins at a multiple of it */
	NEAR = VCR_SPOOL_NEAR,        /* bytes of records that are mapped at first */
	GROW_STEP = 256 << 10,        /* the collector normally grows the file ahead of us */
	MOST_PAGES = 8,               /* of the file that are made present in one go, from one on: most processes write a few records */
	RING_STEP = 256 << 10,        /* a reader that sleeps is woken at least so often, and whether the file can be made longer is looked at */
	JOIN_WAIT_MS = 200,
	ROOM_WAIT_MS = 1000,          /* how long a record waits for room in all, */
	STILL_MS = 200,               /* and for a collector that reads nothing, or makes the file no longer */
	EARLY = 2 << 20,              /* before its end who cannot make it longer asks for more */
};

/* Mapped are the header and, from where the records ended when this process began, so much as most programs write: both find room among the libraries, and need no
 * page tables of their own, which cost a short program more than all else here. Who writes more maps the whole file. Nothing is ever unmapped. */
static VCR_HOT struct vcr_spool_header *header;
static VCR_HOT char *near_base;         /* what is at offset near_from + i of the file is at near_base + i */
static VCR_HOT uint64_t near_from;      /* 0: not yet; set after near_base */
static VCR_HOT uint64_t whole;          /* the file from its beginning: the map's address, and in its lowest bits the binary logarithm of its size; 0: not mapped */
static VCR_HOT uint64_t window;         /* pages of the file that are known to be present: the number of the first << 8 | how many */
static VCR_HOT uint32_t off;                    /* no spool can be had: transparent for good */
static VCR_HOT int32_t maker;                   /* the thread of ours that makes it just now */
static uint32_t patience_ms = JOIN_WAIT_MS; /* what this process still waits for another one's making */
static VCR_HOT uint32_t lost_before;            /* records that came while there was no header to count them in */
static VCR_HOT uint64_t early;                  /* 0, or EARLY: this process has found that it cannot make the file longer */

struct vcr_spool_header *vcr_spool_mapped(void)
{
	return vcr_load(&header);
}

/* ---- files ---- */

static bool may_grow_to(uint64_t size)
{
	struct rlimit limit;
	/* Beyond RLIMIT_FSIZE the kernel would send SIGXFSZ, on memory file systems too. */
	return !vcr_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit) && size <= limit.rlim_cur;
}

/* 0, or a negative errno. */
static int allocate(int fd, uint64_t from, uint64_t to)
{
	return may_grow_to(to) ? (int)vcr_call4(SYS_fallocate, fd, 0, (long)from, (long)(to - from)) : -EFBIG;
}

/* Raise `limit` so that `end` is inside the file; where there is little room, by no more than that. 0, or a negative errno. */
static int grow(struct vcr_spool_header *h, uint64_t end)
{
	uint64_t limit = vcr_load(&h->limit), want = (end + GROW_STEP) & ~(uint64_t)(GROW_STEP - 1);
	if (limit > end)
		return 0;
	int fd = vcr_self.sandboxed || want > VCR_SPOOL_VIRTUAL ? -EFBIG : raw_open(vcr_self.spool_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	int err = allocate(fd, limit, want);
	if (err == -ENOSPC)
		err = allocate(fd, limit, want = (end + PAGE - 1) & ~(uint64_t)(PAGE - 1));
	raw_close(fd);
	while (!err && limit < want && !__atomic_compare_exchange_n(&h->limit, &limit, want, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	return err;
}

static bool is_allocated(int fd);

/* By its name it may be another one by now. */
static char *map_by_name(const struct vcr_spool_header *h, uint64_t size)
{
	int fd = raw_open(vcr_self.spool_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
	char *p = fd >= 0 && is_allocated(fd) ? raw_mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd) : (char *)-ENOENT;
	if (fd >= 0)
		raw_close(fd);
	const struct vcr_spool_header *there = (void *)p;
	if (raw_failed(p) || (there->mono_ns == h->mono_ns && there->root_start == h->root_start && !memcmp(there->session, h->session, sizeof h->session)))
		return p;
	raw_munmap(p, size);
	return (char *)-ENOENT;
}

/* No descriptor is needed, nor the file's name, where the kernel maps what is mapped once more: by now the process may have other rights, another root, or no room for
 * a descriptor. Not every kernel's stand-in (gVisor, qemu) does. */
static char *map_whole(struct vcr_spool_header *h, uint64_t size)
{
	char *p = (char *)vcr_call4(SYS_mremap, (long)h, 0, (long)size, MREMAP_MAYMOVE);
	return raw_failed(p) ? map_by_name(h, size) : p;
}

static uint64_t size_of(uint64_t map)
{
	return map ? 1ull << (map & (PAGE - 1)) : 0;
}

/* The virtual size is generous. Of a limited address space it takes an eighth at most: the program needs the rest. The limit may have been that of a vfork child, who has
 * our memory and not our limits, or have been raised: then it is mapped anew, larger. False: what is mapped has to do. */
static bool widen(struct vcr_spool_header *h)
{
	struct rlimit limit;
	uint64_t was = vcr_load(&whole), bits = __builtin_ctzll(VCR_SPOOL_VIRTUAL);
	if (vcr_self.sandboxed)
		return false;
	if (!vcr_call4(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)&limit))
		while (1ull << bits > VCR_SPOOL_LEAST && 1ull << bits > limit.rlim_cur / 8)
			bits--;
	for (; 1ull << bits >= VCR_SPOOL_LEAST && 1ull << bits > size_of(was); bits -= 3) {
		char *p = map_whole(h, 1ull << bits);
		if (raw_failed(p))
			continue;
		raw_madvise(p, 1ull << bits, MADV_DONTDUMP);
		if (__atomic_compare_exchange_n(&whole, &was, (uint64_t)p | bits, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return true;
		raw_munmap(p, 1ull << bits); /* another thread's was first */
		return true;
	}
	return false;
}

void vcr_spool_widen(void)
{
	struct vcr_spool_header *h = vcr_load(&header);
	if (h && !vcr_load(&whole))
		widen(h);
}

/* Where [at, end) of the file is, and *upto: where what is mapped there ends. NULL: not mapped, or it ends before it begins: whoever is in the session can write into the
 * header. */
static char *place(uint64_t at, uint64_t end, uint64_t *upto)
{
	uint64_t from = vcr_load(&near_from);
	*upto = from + NEAR;
	if (vcr_unlikely(end < at))
		return NULL;
	if (vcr_likely(from && at >= from && end <= from + NEAR))
		return near_base + (at - from);
	uint64_t map = vcr_load(&whole);
	*upto = size_of(map);
	return end <= *upto ? (char *)(map & ~(uint64_t)(PAGE - 1)) + at : NULL;
}

static bool runtime_dir_ready(void)
{
	struct vcr_scratch *s = vcr_scratch_take();
	struct stat st;
	if (!s)
		return false;
	vcr_format(s->a, vcr_self.spool_path);
	*strrchr(s->a, '/') = 0;
	raw_mkdir(s->a, 0700);
	bool ok = !raw_statat(AT_FDCWD, s->a, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode) && st.st_uid == raw_geteuid() && !(st.st_mode & 077);
	vcr_scratch_give(s);
	return ok;
}

static void fill_header(struct vcr_spool_header *h)
{
	struct timespec t;
	memcpy(h->magic, VCR_SPOOL_MAGIC, sizeof h->magic);
	h->version = VCR_SPOOL_VERSION;
	h->root_pid = vcr_self.root_pid;
	h->root_start = vcr_start_time(vcr_self.root_pid);
	clock_gettime(CLOCK_REALTIME, &t);
	h->real_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	h->mono_ns = vcr_now();
	memcpy(h->session, vcr_self.session, sizeof vcr_self.session);
	memcpy(h->start_dir, vcr_self.start_dir, strlen(vcr_self.start_dir) + 1);
	memcpy(h->workspace, vcr_self.workspace, strlen(vcr_self.workspace) + 1);
	if (strlen(vcr_self.workspace) < sizeof h->workspace_near)
		memcpy(h->workspace_near, vcr_self.workspace, strlen(vcr_self.workspace) + 1);
	memcpy(h->vcr_dir, vcr_self.vcr_dir, strlen(vcr_self.vcr_dir) + 1);
	h->hwcap = getauxval(AT_HWCAP);
	h->crc = vcr_crc_how();
	h->tail = h->head = VCR_SPOOL_HEADER;
	h->limit = VCR_SPOOL_HEADER + GROW_STEP;
	h->next_conn = 1;
	vcr_store(&h->state, VCR_SPOOL_OPEN);
	raw_wake(&h->state);
}

static struct vcr_spool_header *map(int fd)
{
	void *p = raw_mmap(VCR_SPOOL_HEADER, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd);
	if (raw_failed(p))
		return NULL;
	/* Who writes to a page first is given that page alone, who reads it sixteen. So it is written to, and not changed. */
	uint32_t same = VCR_SPOOL_VERSION;
	__atomic_compare_exchange_n(&((struct vcr_spool_header *)p)->version, &same, VCR_SPOOL_VERSION, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return p;
}

/* The records from its end on, by the descriptor that the header was mapped by. */
static char *map_near(const struct vcr_spool_header *h, int fd, uint64_t *from)
{
	uint64_t tail = vcr_load(&h->tail);
	*from = (tail >= VCR_SPOOL_HEADER && tail < VCR_SPOOL_VIRTUAL - NEAR ? tail : VCR_SPOOL_HEADER) & ~(uint64_t)(LARGEST_PAGE - 1);
	char *p = raw_mmap_at(NEAR, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, *from);
	if (raw_failed(p))
		return NULL;
	/* In a core they would be the words of others. The kernel puts one right below the other, mostly. */
	bool both = p + NEAR == (const char *)h;
	raw_madvise(p, both ? NEAR + VCR_SPOOL_HEADER : NEAR, MADV_DONTDUMP);
	if (!both)
		raw_madvise((char *)(uintptr_t)h, VCR_SPOOL_HEADER, MADV_DONTDUMP);
	return p;
}

/* What a process has of a spool before it takes it for its own. */
struct view { struct vcr_spool_header *h; char *near; uint64_t from; };

static void drop(struct view *v)
{
	if (v->near)
		raw_munmap(v->near, NEAR);
	if (v->h)
		raw_munmap(v->h, VCR_SPOOL_HEADER);
	*v = (struct view){ NULL };
}

static bool make(struct view *v)
{
	int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, fd = raw_open(vcr_self.spool_path, flags, 0600);
	if (fd == -ENOENT && runtime_dir_ready())
		fd = raw_open(vcr_self.spool_path, flags, 0600);
	if (fd < 0)
		return false;
	if (!allocate(fd, 0, VCR_SPOOL_HEADER + GROW_STEP) && (v->h = map(fd)) && !(v->near = map_near(v->h, fd, &v->from)))
		drop(v);
	raw_close(fd);
	if (v->h)
		fill_header(v->h);
	else
		raw_unlink(vcr_self.spool_path);
	return v->h;
}

/* One slice of waiting for the maker, who is between his open and his last store. False: no more patience. */
static bool wait_for_maker(uint32_t *word, uint32_t value)
{
	uint32_t left = __atomic_load_n(&patience_ms, __ATOMIC_RELAXED);
	if (!left)
		return false;
	__atomic_store_n(&patience_ms, left - 1, __ATOMIC_RELAXED);
	raw_wait(word, value, 1000000);
	return true;
}

static bool is_open(struct vcr_spool_header *h)
{
	while (vcr_load(&h->state) == VCR_SPOOL_MAKING && wait_for_maker(&h->state, VCR_SPOOL_MAKING))
		;
	if (vcr_load(&h->state) != VCR_SPOOL_OPEN || memcmp(h->magic, VCR_SPOOL_MAGIC, sizeof h->magic))
		return false;
	if (h->version != VCR_SPOOL_VERSION)
		vcr_store(&off, 1); /* another vcr's, and stays so */
	return h->version == VCR_SPOOL_VERSION && (!vcr_self.root || h->root_pid == vcr_self.root_pid);
}

static bool is_allocated(int fd)
{
	struct stat st;
	uint32_t never = 0;
	do {
		if (raw_fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != raw_geteuid())
			return false;
	} while (st.st_size < VCR_SPOOL_HEADER && wait_for_maker(&never, 0));
	return st.st_size >= VCR_SPOOL_HEADER;
}

static bool join(struct view *v)
{
	int fd = raw_open(vcr_self.spool_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
	if (fd < 0)
		return false;
	v->h = is_allocated(fd) ? map(fd) : NULL;
	if (v->h && !(is_open(v->h) && (v->near = map_near(v->h, fd, &v->from))))
		drop(v);
	raw_close(fd);
	return v->h;
}

/* ---- belonging to it ---- */

/* In a vfork child too: the memory is its host's, who has a map of the spool from now on and will leave when he ends. */
static void take_place(struct vcr_spool_header *h)
{
	uint32_t no = 0;
	if (h && __atomic_compare_exchange_n(&vcr_self.joined, &no, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		__atomic_fetch_add(&h->users, 1, __ATOMIC_RELAXED);
}

void vcr_spool_rejoin(void)
{
	if (!vcr_guest_seen())
		take_place(vcr_load(&header));
}

void vcr_spool_leave(void)
{
	struct vcr_spool_header *h = vcr_load(&header);
	uint32_t yes = 1;
	if (h && !vcr_guest() && __atomic_compare_exchange_n(&vcr_self.joined, &yes, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		__atomic_fetch_sub(&h->users, 1, __ATOMIC_ACQ_REL);
}

void vcr_spool_count(int n)
{
	struct vcr_spool_header *h = vcr_load(&header);
	if (h)
		__atomic_fetch_add(&h->users, (uint32_t)n, __ATOMIC_ACQ_REL);
}

void vcr_spool_discard(void)
{
	struct vcr_spool_header *h = vcr_load(&header);
	if (h && !vcr_self.sandboxed && !(h->flags & VCR_SPOOL_BY_RECORD) && vcr_load(&h->users) == 0 && vcr_load(&h->wanted) == 0 &&
		vcr_load(&h->collector) == VCR_COLLECTOR_NONE)
		raw_unlink(vcr_self.spool_path);
}

static void make_or_join(enum vcr_spool_how how, struct view *v)
{
	if (how == VCR_MAKE && vcr_self.root) {
		vcr_store(&maker, raw_gettid());
		make(v);
		vcr_store(&maker, 0);
	}
	if (!v->h)
		join(v);
}

/* Threads and fork children may come here at once: the file decides between processes, one word between threads. */
static struct vcr_spool_header *open_spool(enum vcr_spool_how how)
{
	static VCR_HOT uint32_t chosen;
	struct view v = { NULL };
	uint32_t no = 0;
	if (vcr_self.sandboxed || (vcr_load(&maker) && vcr_load(&maker) == raw_gettid()))
		return NULL; /* the latter: a signal handler inside make() */
	make_or_join(how, &v);
	if (!v.h) {
		if (how == VCR_MAKE && raw_access(vcr_self.spool_path, F_OK))
			vcr_store(&off, 1); /* there is no such file and none can be made */
		return NULL;
	}
	if (__atomic_compare_exchange_n(&chosen, &no, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		near_base = v.near;
		vcr_store(&near_from, v.from);
	} else {
		raw_munmap(v.near, NEAR);
	}
	struct vcr_spool_header *none = NULL, *h = v.h;
	if (!__atomic_compare_exchange_n(&header, &none, h, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		raw_munmap(h, VCR_SPOOL_HEADER);
		h = none;
	}
	take_place(h);
	if (vcr_unlikely(vcr_load(&lost_before)))
		vcr_spool_drop(h, vcr_self.pid, __atomic_exchange_n(&lost_before, 0, __ATOMIC_RELAXED), 0);
	return h;
}

struct vcr_spool_header *vcr_spool(enum vcr_spool_how how)
{
	struct vcr_spool_header *h = vcr_load(&header);
	if (vcr_likely(h != NULL))
		return h;
	return vcr_load(&off) ? NULL : open_spool(how);
}

/* ---- appending ---- */

void vcr_lost(size_t bytes)
{
	struct vcr_spool_header *h = vcr_load(&header);
	if (!h) {
		__atomic_fetch_add(&lost_before, 1, __ATOMIC_RELAXED);
		return;
	}
	vcr_spool_drop(h, vcr_self.sandboxed ? vcr_self.pid : raw_getpid(), 1, bytes);
}

/* Make the pages of [at, end) present: afterwards storing there costs no page fault, and where a stranger has truncated the file
 * we learn it here as an error instead of a SIGBUS. */
static bool present(char *p, uint64_t at, uint64_t end, uint64_t upto)
{
	uint64_t first = at / PAGE, last = (end - 1) / PAGE, known = __atomic_load_n(&window, __ATOMIC_RELAXED), from = known >> 8, n = known & 255;
	if (vcr_likely(first - from < n && last - from < n))
		return true;
	if (vcr_self.sandboxed)
		return true;
	n = n ? 2 * n : 1;
	n = n < MOST_PAGES ? n : MOST_PAGES;
	n = n > last - first ? n : last - first + 1;
	n = first + n <= upto / PAGE || last >= upto / PAGE ? n : upto / PAGE - first;
	int r = raw_madvise(p - at % PAGE, n * PAGE, MADV_POPULATE_WRITE);
	if (r && r != -EINVAL && r != -EAGAIN && r != -EINTR)
		return false;
	__atomic_store_n(&window, first << 8 | (n < 255 ? n : 255), __ATOMIC_RELAXED);
	return true;
}

/* A futex call only if the collector sleeps. */
static void ring(struct vcr_spool_header *h)
{
	__atomic_fetch_add(&h->doorbell, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&h->sleeping, __ATOMIC_SEQ_CST) && !vcr_self.sandboxed)
		raw_wake(&h->doorbell);
}

/* Only if it would sleep on and on. Before it does, it looks once more whether something has been appended. */
static void chime(struct vcr_spool_header *h)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&h->sleeping, __ATOMIC_SEQ_CST) == VCR_ASLEEP)
		ring(h);
}

/* Of the collector's threads one sleeps there, and does nothing else. */
static void ask_for_more(struct vcr_spool_header *h)
{
	__atomic_fetch_add(&h->scarce, 1, __ATOMIC_SEQ_CST);
	raw_wake(&h->scarce);
}

/* There is no room for a record (-ENOSPC): the collector is to read now, whatever it lets rest. Or only the collector can reach it, as under a limit on the size of
 * files, or where no descriptor is left. It is given a while. One that has done nothing meanwhile nobody waits for again
 * until it has. ms: what this record may still wait. */
static bool wait_for_room(struct vcr_spool_header *h, int err, int *ms)
{
	static uint32_t never;
	static uint64_t own; /* what hinders this process hinders no other */
	uint64_t *word = err == -ENOSPC ? &h->head : &h->limit, *vain = err == -ENOSPC ? &h->vain : &own, was = vcr_load(word);
	if (err == -E2BIG || vcr_self.sandboxed || vcr_load(&h->collector) != VCR_COLLECTOR_RUNNING || vcr_load(vain) == was)
		return false;
	if (err == -ENOSPC) {
		ring(h);
	} else {
		vcr_store(&early, EARLY);
		ask_for_more(h);
	}
	for (int still = 0; *ms > 0; still++, --*ms) {
		if (vcr_load(word) != was)
			return true;
		if (still == STILL_MS) {
			vcr_store(vain, was);
			return false;
		}
		raw_wait(&never, 0, 1000000);
	}
	return false;
}

/* Its end is near; once for each end that it has. */
static void ask_early(struct vcr_spool_header *h, uint64_t limit)
{
	static uint64_t asked;
	if (vcr_self.sandboxed || vcr_load(&asked) == limit)
		return;
	vcr_store(&asked, limit);
	ask_for_more(h);
}

/* Before there is no room: is a limit in our way? */
static void look_ahead(struct vcr_spool_header *h)
{
	if (!vcr_load(&early) && !vcr_self.sandboxed && !may_grow_to(vcr_load(&h->limit) + GROW_STEP))
		vcr_store(&early, EARLY);
}

/* 0, or a negative errno. */
static int reach(struct vcr_spool_header *h, uint64_t end)
{
	uint64_t limit = vcr_load(&h->limit);
	if (vcr_likely(end + vcr_load(&early) <= limit))
		return 0;
	if (end > limit)
		return grow(h, end);
	ask_early(h, limit);
	return 0;
}

static int make_room(struct vcr_spool_header *h, uint64_t n)
{
	uint64_t tail = vcr_load(&h->tail), upto;
	if (vcr_unlikely(!place(tail, tail + n, &upto)) && !widen(h))
		return -E2BIG;
	return tail - vcr_load(&h->head) > VCR_SPOOL_BACKLOG ? -ENOSPC : reach(h, tail + n);
}

/* NULL: none can be had. */
static struct vcr_spool_record *reserve(struct vcr_spool_header *h, uint64_t n, uint64_t *at)
{
	int ms = ROOM_WAIT_MS, err;
	while (vcr_unlikely((err = make_room(h, n)) != 0))
		if (!wait_for_room(h, err, &ms))
			return NULL;
	*at = __atomic_fetch_add(&h->tail, n, __ATOMIC_ACQ_REL);
	if (*at % VCR_SPOOL_ALIGN || *at < VCR_SPOOL_HEADER)
		return NULL;
	while (vcr_unlikely((err = reach(h, *at + n)) != 0)) /* others were faster */
		if (!wait_for_room(h, err, &ms))
			return NULL;
	uint64_t upto, limit = vcr_load(&h->limit);
	char *p = place(*at, *at + n, &upto);
	if (vcr_unlikely(!p) && widen(h))
		p = place(*at, *at + n, &upto);
	return p && present(p, *at, *at + n, upto < limit ? upto : limit) ? (void *)p : NULL;
}

/* A child that has our memory has our thread's, too. */
static int32_t thread_of(int32_t pid)
{
	static __thread int32_t tid, tid_of;
	if (vcr_self.sandboxed)
		return tid ? tid : pid;
	if (pid != vcr_self.pid)
		return raw_gettid();
	if (tid_of != pid) {
		tid = raw_gettid();
		tid_of = pid;
	}
	return tid;
}

static void fill(struct vcr_spool_record *r, uint64_t at, const struct vcr_piece *piece, int pieces)
{
	char *to = (char *)(r + 1);
	uint32_t crc = ~0u;
	for (int i = 0; i < pieces; i++) {
		memcpy(to, piece[i].data, piece[i].size);
		crc = vcr_crc(crc, to, piece[i].size);
		to += piece[i].size;
	}
	r->crc = ~crc;
	r->seq = at;
	r->pid = vcr_load(&vcr_sharers) && !vcr_self.sandboxed ? raw_getpid() : vcr_self.pid;
	r->tid = thread_of(r->pid);
}

uint64_t vcr_append(uint32_t type, uint32_t conn, uint64_t time_ns, const struct vcr_piece *piece, int pieces, int flags)
{
	struct vcr_spool_header *h = vcr_spool(VCR_MAKE);
	size_t size = 0;
	if (vcr_unlikely(!h)) {
		vcr_lost(0);
		return 0;
	}
	if (vcr_unlikely(h->flags & VCR_SPOOL_LEAD_ONLY) && type != VCR_REC_PROC && type != VCR_REC_LOST && type != VCR_REC_REFUSED)
		return VCR_SPOOL_HEADER;
	if (vcr_unlikely(!vcr_self.said))
		vcr_say_process(h);
	for (int i = 0; i < pieces; i++)
		size += piece[i].size;
	uint64_t n = (sizeof(struct vcr_spool_record) + size + VCR_SPOOL_ALIGN - 1) & ~(uint64_t)(VCR_SPOOL_ALIGN - 1);
	uint64_t at;
	struct vcr_spool_record *r = size <= VCR_SPOOL_MAX_RECORD ? reserve(h, n, &at) : NULL;
	if (!r) {
		vcr_lost(size);
		return 0;
	}
	__atomic_store_n((uint64_t *)(void *)r, VCR_REC_BUSY | n << 32, __ATOMIC_RELEASE);
	r->time_ns = time_ns ? time_ns : vcr_now();
	r->type = type;
	r->conn = conn;
	r->size = (uint32_t)size;
	fill(r, at, piece, pieces);
	__atomic_store_n((uint64_t *)(void *)r, VCR_REC_READY | n << 32, __ATOMIC_RELEASE);
	bool step = at / RING_STEP != (at + n) / RING_STEP;
	if (flags & VCR_RING)
		ring(h);
	else if (flags & VCR_CHIME || step)
		chime(h);
	if (vcr_unlikely(step))
		look_ahead(h);
	if (vcr_unlikely(vcr_load(&h->wanted) && vcr_load(&h->collector) == VCR_COLLECTOR_NONE))
		vcr_start_collector(h);
	return at;
}

/* A record of this process itself that begins there, if it is to be read and the collector has not read it yet; *state: its first word. Before `head` the
 * memory has been given back: nothing is touched there. */
static struct vcr_spool_record *untaken(uint32_t at_in_units, uint64_t *state)
{
	struct vcr_spool_header *h = vcr_load(&header);
	uint64_t at = (uint64_t)at_in_units * VCR_SPOOL_ALIGN, upto;
	if (!at || !h || vcr_load(&h->collector) != VCR_COLLECTOR_RUNNING || at < vcr_load(&h->head))
		return NULL;
	struct vcr_spool_record *r = (void *)place(at, at + sizeof *r, &upto);
	if (!r)
		return NULL;
	*state = vcr_load((uint64_t *)(void *)r);
	return (uint32_t)*state == VCR_REC_READY && r->seq == at && r->pid == vcr_self.pid ? r : NULL;
}

bool vcr_spool_is_untaken(uint32_t at_in_units)
{
	uint64_t state;
	return untaken(at_in_units, &state) != NULL;
}

bool vcr_spool_add_closed(uint32_t at_in_units)
{
	uint64_t state;
	struct vcr_spool_record *r = untaken(at_in_units, &state);
	if (!r)
		return false;
	r->closed_ns = vcr_now();
	uint64_t closed = (state & ~(uint64_t)UINT32_MAX) | VCR_REC_CLOSED;
	return __atomic_compare_exchange_n((uint64_t *)(void *)r, &state, closed, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

bool vcr_muted(uint32_t conn)
{
	struct vcr_spool_header *h = vcr_load(&header);
	return h && __atomic_load_n(&h->mute[conn % VCR_SPOOL_MUTES], __ATOMIC_RELAXED) == conn;
}

uint32_t vcr_next_conn(void)
{
	struct vcr_spool_header *h = vcr_spool(VCR_MAKE);
	uint32_t n = h ? __atomic_fetch_add(&h->next_conn, 1, __ATOMIC_RELAXED) : 0;
	return n || !h ? n : __atomic_fetch_add(&h->next_conn, 1, __ATOMIC_RELAXED);
}

void vcr_append_bytes(uint32_t type, uint32_t conn, uint64_t time_ns, const void *p, size_t n, int flags)
{
	enum { PART = 256 << 10 };
	while (n) {
		size_t part = n < PART ? n : PART;
		struct vcr_piece piece = { p, part };
		vcr_append(type, conn, time_ns, &piece, 1, part == n ? flags : 0);
		p = (const char *)p + part;
		n -= part;
	}
}
