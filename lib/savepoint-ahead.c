/* savepoint-ahead.c — what is in a directory; and in those that git knows, looked at by as many threads as there are cores.
 *
 * To look at a hundred thousand files takes a hundred thousand system calls, whose answers do not depend on each other. Helpers take the directories of the
 * index from its end, the scan comes from wherever it is; who is first at one does it. Helpers ask the kernel, the index and the packs, nothing else:
 * what becomes of a file is decided by the one thread that owns the store. */
#include "savepoint-parts.h"
#include "attrs.h"
#include "beneath.h"
#include "gitindex.h"
#include "limits.h"
#include "packindex.h"
#include <fcntl.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HELPERS = 3, EACH = 1000 /* files that are worth a helper */, MOST = 20000 /* names of one directory that are kept waiting with what they are */, SLAB = 1 << 20 };

/* ---- Memory ---- */

/* What a helper finds is kept to the end; many small pieces of its own would take the kernel longer than the files do. */
struct slab { struct slab *next; size_t used; char room[]; };

static void *from_slab(struct slab **slab, size_t n)
{
	n = (n + 15) & ~(size_t)15;
	if (!*slab || (*slab)->used + n > SLAB) {
		struct slab *new = malloc(sizeof *new + SLAB);
		if (!new)
			return NULL;
		new->next = *slab;
		new->used = 0;
		*slab = new;
	}
	(*slab)->used += n;
	return (*slab)->room + (*slab)->used - n;
}

static void free_slabs(struct slab *slab)
{
	while (slab) {
		struct slab *next = slab->next;
		free(slab);
		slab = next;
	}
}

/* ---- The names ---- */

struct kernel_name { uint64_t ino; int64_t off; unsigned short len; unsigned char type; char name[]; }; /* getdents(2) */

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each with its NUL, one behind the other. */
static bool read_names(int fd, struct vcr_buf *text, size_t *n)
{
	union { char byte[32 << 10]; struct kernel_name first; } part;
	long k;
	vcr_buf_reset(text);
	*n = 0;
	while ((k = syscall(SYS_getdents64, fd, part.byte, sizeof part.byte)) > 0)
		for (long at = 0; at < k;) {
			const struct kernel_name *name = (const void *)(part.byte + at);
			at += name->len;
			if (strcmp(name->name, ".") && strcmp(name->name, "..")) {
				vcr_buf_add(text, name->name, strlen(name->name) + 1);
				++*n;
			}
		}
	if (text->err)
		*n = 0;
	return !k && !text->err;
}

/* All of a listing is one piece of memory: what the names are (seen), where they begin, and they themselves. */
static bool lay_out(struct vcr_listing *l, const struct vcr_buf *text, size_t n, bool seen, struct slab **slab)
{
	size_t head = seen ? n * sizeof *l->seen : 0, list = n * sizeof *l->name, all = head + list + text->len;
	char *p = slab && all < SLAB / 8 ? from_slab(slab, all) : (l->block = malloc(all + 1));
	if (!p)
		return false;
	l->seen = seen ? (struct vcr_seen *)p : NULL;
	l->name = (const char **)(p + head);
	char *name = p + head + list;
	memcpy(name, text->data, text->len);
	for (l->n = 0; l->n < n; name += strlen(name) + 1)
		l->name[l->n++] = name;
	qsort(l->name, n, sizeof *l->name, by_bytes);
	return true;
}

bool vcr_listing_read(struct vcr_listing *l, int fd)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	size_t n;
	bool whole = !lseek(fd, 0, SEEK_SET) && read_names(fd, &text, &n);
	return lay_out(l, &text, text.err ? 0 : n, false, NULL) && whole;
}

void vcr_listing_release(struct vcr_listing *l)
{
	free(l->block);
	*l = (struct vcr_listing){ 0 };
}

bool vcr_listing_has(const struct vcr_listing *l, const char *name)
{
	return l->n && bsearch(&name, l->name, l->n, sizeof *l->name, by_bytes);
}

/* ---- What they are ---- */

/* What one thread needs; the scan's has no slabs, since it is through with a listing soon. */
struct eye { struct vcr_ahead *ahead; struct slab *slab; bool keeps; struct vcr_buf text; size_t hint; pthread_t thread; };
enum state { FREE, BUSY, DONE, TAKEN };
struct vcr_ahead {
	int root;
	const struct vcr_gitindex *index;
	const struct vcr_packindex *packs;
	unsigned char *state;           /* of each directory of the index */
	struct vcr_listing *listing;    /* DONE: what is in it */
	size_t left;                    /* directories that no helper has come to */
	bool stop, attrs;               /* attrs: the file system has extended ones */
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct eye eye[1 + HELPERS];    /* the scan's first */
	int helpers;
};

/* Names and entries are both in order. */
static void look_at_names(struct eye *eye, const struct vcr_gitindex_dir *d, int fd, struct vcr_listing *l)
{
	const struct vcr_gitindex *index = eye->ahead->index;
	const struct vcr_gitindex_entry *i = index->entry + d->first, *end = i + d->n;
	size_t skip = d->len + (d->len > 0);
	for (size_t k = 0; k < l->n; k++) {
		struct vcr_seen *seen = &l->seen[k];
		int c = -1;
		seen->gone = fstatat(fd, l->name[k], &seen->st, AT_SYMLINK_NOFOLLOW);
		seen->known = NULL;
		seen->packed = false;
		seen->attrs = true;
		while (i < end && (c = strcmp(i->path + skip, l->name[k])) < 0)
			i++;
		if (i < end && !c && !seen->gone && S_ISREG(seen->st.st_mode) && vcr_gitindex_is_clean(index, i, &seen->st)) {
			seen->known = vcr_gitindex_oid(i);
			seen->packed = vcr_packindex_has(eye->ahead->packs, seen->known, &eye->hint);
		}
		if (seen->known || (!seen->gone && S_ISDIR(seen->st.st_mode)))
			seen->attrs = eye->ahead->attrs && vcr_attrs_has(fd, l->name[k]); /* others are asked by who reads them */
	}
}

static void look(struct eye *eye, size_t index, struct vcr_listing *l)
{
	const struct vcr_gitindex_dir *d = &eye->ahead->index->dir[index];
	char path[VCR_MAX_PATH];
	struct stat st;
	size_t n;
	memcpy(path, d->path, d->len);
	path[d->len] = 0;
	*l = (struct vcr_listing){ 0 };
	int fd = vcr_beneath_open(eye->ahead->root, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return;
	if (!fstat(fd, &st) && read_names(fd, &eye->text, &n) && n <= MOST && lay_out(l, &eye->text, n, true, eye->keeps ? &eye->slab : NULL)) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
		look_at_names(eye, d, fd, l);
	}
	close(fd);
}

/* ---- Who looks ---- */

static bool claim(struct vcr_ahead *a, size_t i)
{
	unsigned char was = FREE;
	return __atomic_compare_exchange_n(&a->state[i], &was, BUSY, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void *help(void *arg)
{
	struct eye *eye = arg;
	struct vcr_ahead *a = eye->ahead;
	size_t i;
	while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED) && (i = __atomic_fetch_sub(&a->left, 1, __ATOMIC_RELAXED) - 1) < a->index->ndir) {
		if (!claim(a, i))
			continue;
		look(eye, i, &a->listing[i]);
		pthread_mutex_lock(&a->lock);
		__atomic_store_n(&a->state[i], DONE, __ATOMIC_RELEASE);
		pthread_cond_signal(&a->done);
		pthread_mutex_unlock(&a->lock);
	}
	return NULL;
}

static int cores(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

/* Signals are for the threads that wait for them. */
static void start(struct vcr_ahead *a)
{
	int n = cores() - 1;
	sigset_t all, before;
	if (n > HELPERS)
		n = HELPERS;
	if ((size_t)n > a->index->n / EACH)
		n = (int)(a->index->n / EACH);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (a->helpers < n && !pthread_create(&a->eye[1 + a->helpers].thread, NULL, help, &a->eye[1 + a->helpers]))
		a->helpers++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct vcr_ahead *vcr_ahead_new(int root, const struct vcr_gitindex *index, const struct vcr_packindex *packs)
{
	struct vcr_ahead *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->root = root;
	a->attrs = vcr_attrs_any(root);
	a->index = index;
	a->packs = packs;
	a->left = index->ndir;
	for (int i = 0; i <= HELPERS; i++) {
		vcr_buf_init(&a->eye[i].text, 0);
		a->eye[i].ahead = a;
		a->eye[i].keeps = i > 0;
	}
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->done, NULL);
	a->state = calloc(index->ndir + 1, 1);
	a->listing = calloc(index->ndir + 1, sizeof *a->listing);
	if (!a->state || !a->listing) {
		vcr_ahead_free(a);
		return NULL;
	}
	start(a);
	return a;
}

void vcr_ahead_free(struct vcr_ahead *a)
{
	if (!a)
		return;
	__atomic_store_n(&a->stop, true, __ATOMIC_RELAXED);
	for (int i = 1; i <= a->helpers; i++)
		pthread_join(a->eye[i].thread, NULL);
	for (size_t i = 0; a->state && a->listing && i < a->index->ndir; i++)
		if (a->state[i] == DONE)
			vcr_listing_release(&a->listing[i]);
	for (int i = 0; i <= HELPERS; i++) {
		vcr_buf_release(&a->eye[i].text);
		free_slabs(a->eye[i].slab);
	}
	pthread_cond_destroy(&a->done);
	pthread_mutex_destroy(&a->lock);
	free(a->state);
	free(a->listing);
	free(a);
}

bool vcr_ahead_take(struct vcr_ahead *a, const char *path, size_t n, const struct stat *st, struct vcr_listing *out)
{
	const struct vcr_gitindex_dir *d = a ? vcr_gitindex_dir(a->index, path, n) : NULL;
	size_t i = d ? (size_t)(d - a->index->dir) : 0;
	if (!d)
		return false;
	if (claim(a, i)) {
		look(&a->eye[0], i, out);
	} else {
		pthread_mutex_lock(&a->lock);
		while (__atomic_load_n(&a->state[i], __ATOMIC_ACQUIRE) == BUSY)
			pthread_cond_wait(&a->done, &a->lock);
		pthread_mutex_unlock(&a->lock);
		if (a->state[i] == TAKEN)
			return false;
		*out = a->listing[i];
	}
	a->state[i] = TAKEN;
	if (out->seen && out->dev == st->st_dev && out->ino == st->st_ino)
		return true;
	vcr_listing_release(out); /* it was another directory then, or could not be read */
	return false;
}
