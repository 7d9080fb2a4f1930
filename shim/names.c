/* names.c — names of files that are open, so that a write and a close need not ask the kernel: 2 to 5 us each, and a build makes files by the ten
 * thousand. Only of files that the open itself has made: no link, no second name. A name holds while it and the descriptor name the same inode and
 * nothing was renamed by this process; the caller asks the kernel otherwise. A slot that is in use is passed over, so nobody waits. */
#include "shim.h"

enum { NEAR = sizeof vcr_near.names / sizeof *vcr_near.names, SLOTS = 32, DIRECTORIES = 8, LONGEST = sizeof vcr_near.names->path };
static struct vcr_name far[SLOTS - NEAR];
static VCR_HOT uint32_t renames;
static VCR_HOT struct { uint32_t taken, renames; size_t n; char path[LONGEST]; } outside; /* a directory, its last slash included */
static struct { uint32_t taken, renames; int32_t fd; dev_t dev; ino_t ino; char path[LONGEST]; } directories[DIRECTORIES]; /* fd and 1, renames of the session */

static bool leads_there(const char *path, const struct stat *st)
{
	struct stat there;
	return !raw_statat(AT_FDCWD, path, &there, AT_SYMLINK_NOFOLLOW) && there.st_dev == st->st_dev && there.st_ino == st->st_ino;
}

static struct vcr_name *slot(int i)
{
	return i < NEAR ? &vcr_near.names[i] : &far[i - NEAR];
}

/* NULL: somebody uses it. */
static struct vcr_name *take(int fd)
{
	struct vcr_name *s = fd >= 0 ? slot(fd % SLOTS) : NULL;
	return s && !__atomic_exchange_n(&s->taken, 1, __ATOMIC_ACQUIRE) ? s : NULL;
}

void vcr_names_keep(int fd, const char *path)
{
	size_t n = strlen(path) + 1;
	uint32_t now = vcr_load(&renames);
	struct vcr_name *s = n <= LONGEST ? take(fd) : NULL;
	if (!s)
		return;
	s->fd = fd + 1;
	s->renames = now;
	memcpy(s->path, path, n);
	vcr_store(&s->taken, 0);
}

void vcr_names_copied(int from, int to)
{
	struct vcr_name *a = take(from), *b;
	if (!a)
		return;
	if (a->fd == from + 1 && (b = take(to))) {
		b->fd = to + 1;
		b->renames = a->renames;
		strcpy(b->path, a->path);
		vcr_store(&b->taken, 0);
	}
	vcr_store(&a->taken, 0);
}

bool vcr_names_find(int fd, char out[PATH_MAX])
{
	struct stat st;
	struct vcr_name *s = take(fd);
	if (!s)
		return false;
	bool found = s->fd == fd + 1 && s->renames == vcr_load(&renames) && !raw_fstat(fd, &st) && st.st_nlink == 1 && leads_there(s->path, &st);
	if (found)
		strcpy(out, s->path);
	vcr_store(&s->taken, 0);
	return found;
}

static size_t directory_length(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? (size_t)(slash - path) + 1 : 0;
}

void vcr_names_keep_outside(const char *path)
{
	size_t n = directory_length(path);
	uint32_t now = vcr_load(&renames);
	if (!n || n > LONGEST || __atomic_exchange_n(&outside.taken, 1, __ATOMIC_ACQUIRE))
		return;
	memcpy(outside.path, path, n);
	outside.n = n;
	outside.renames = now;
	vcr_store(&outside.taken, 0);
}

bool vcr_names_is_outside(const char *path)
{
	size_t n = directory_length(path);
	if (!n || __atomic_exchange_n(&outside.taken, 1, __ATOMIC_ACQUIRE))
		return false;
	bool yes = outside.n == n && outside.renames == vcr_load(&renames) && !memcmp(outside.path, path, n);
	vcr_store(&outside.taken, 0);
	return yes;
}

/* It is that directory still as long as the descriptor leads to the same inode, and its path holds as long as nobody in the session has renamed anything; where
 * programs have been started that the library cannot enter, as long as it leads there. */
bool vcr_names_of_directory(int fd, char out[PATH_MAX])
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	struct stat st;
	if (!h || fd < 0 || raw_fstat(fd, &st) || !S_ISDIR(st.st_mode) || !st.st_nlink)
		return vcr_path_of_fd(fd, out);
	__typeof__(*directories) *d = &directories[fd % DIRECTORIES];
	uint32_t now = vcr_load(&h->renames);
	if (__atomic_exchange_n(&d->taken, 1, __ATOMIC_ACQUIRE))
		return vcr_path_of_fd(fd, out);
	bool known = d->fd == fd + 1 && d->renames == now && d->dev == st.st_dev && d->ino == st.st_ino && (!vcr_load(&h->strangers) || leads_there(d->path, &st));
	if (known)
		strcpy(out, d->path);
	else if ((known = vcr_path_of_fd(fd, out)) && strlen(out) < LONGEST) {
		d->fd = fd + 1;
		d->renames = now;
		d->dev = st.st_dev;
		d->ino = st.st_ino;
		strcpy(d->path, out);
	}
	vcr_store(&d->taken, 0);
	return known;
}

void vcr_names_changed(void)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	__atomic_fetch_add(&renames, 1, __ATOMIC_ACQ_REL);
	if (h)
		__atomic_fetch_add(&h->renames, 1, __ATOMIC_ACQ_REL);
}

void vcr_names_forget(void)
{
	for (int i = 0; i < SLOTS; i++)
		vcr_store(&slot(i)->taken, 0);
	for (int i = 0; i < DIRECTORIES; i++)
		vcr_store(&directories[i].taken, 0);
	vcr_store(&outside.taken, 0);
}
