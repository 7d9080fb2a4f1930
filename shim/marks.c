/* marks.c — file records. A mark says who touched which name; what is in the file is the collector's business. Marks are
 * written after the call succeeded; before it, the collector gets its chance to see the workspace as it was. */
#include "shim.h"

static VCR_HOT uint32_t base_done; /* the start scan is complete, or nobody waits for it any more */

void vcr_wait_base(void)
{
	struct vcr_spool_header *h = vcr_spool_mapped();
	if (!h || vcr_guest() || vcr_self.sandboxed)
		return;
	while (!vcr_load(&h->base_ready) && vcr_collector_alive(h)) {
		uint64_t now = vcr_now(), deadline = vcr_load(&h->base_deadline_ns);
		if (now >= deadline)
			break;
		uint64_t left = deadline - now, slice = 20000000; /* a collector that could not start does not ring */
		raw_wait(&h->base_ready, 0, left < slice ? left : slice);
	}
	vcr_store(&base_done, 1);
}

/* A caller's bad pointer is for the original to refuse: the kernel touches the path before we do. */
static bool readable(int dir, const char *path, struct stat *st, int *error)
{
	if (!path || !vcr_ready() || vcr_self.sandboxed)
		return false;
	*error = -raw_statat(dir, path, st, AT_SYMLINK_NOFOLLOW);
	return *error != EFAULT;
}

/* known: its name has been told in a. */
static bool matters_or_deep(bool known, int dir, const char *path, char a[PATH_MAX])
{
	return known ? vcr_path_matters(a) : vcr_path_deep(dir, path, a);
}

static void change_ahead(int dir, const char *path)
{
	struct vcr_scratch *s = vcr_scratch_take();
	if (!s)
		return;
	bool matters = matters_or_deep(vcr_path_absolute(dir, path, s->a), dir, path, s->a);
	vcr_scratch_give(s);
	if (matters) {
		vcr_want_collector();
		vcr_wait_base();
	}
}

void vcr_before_change(int dir, const char *path)
{
	struct stat st;
	int error;
	if (!vcr_load(&base_done) && readable(dir, path, &st, &error))
		change_ahead(dir, path);
}

bool vcr_open_may_make(int flags)
{
	return (flags & (O_CREAT | O_EXCL | O_PATH | O_DIRECTORY)) == O_CREAT && vcr_load(&base_done) && vcr_ready() && !vcr_self.sandboxed;
}

uint32_t vcr_before_open(int dir, const char *path, int flags)
{
	struct stat st;
	int error;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) && vcr_load(&base_done))
		return 0; /* or it fails */
	if (!readable(dir, path, &st, &error))
		return 2;
	if (!vcr_load(&base_done))
		change_ahead(dir, path);
	if (!error && (flags & (O_ACCMODE | O_TRUNC) || flags & O_CREAT) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL) && (flags & O_TMPFILE) != O_TMPFILE)
		vcr_keep_changing(dir, path);
	return error == 0 ? 1 : error == ENOENT ? 0 : 2;
}

/* As records have it: what is in the workspace, from there on. It is most of them, and they are read by the ten thousand. */
static const char *from_workspace(const char *path)
{
	size_t n = vcr_self.workspace_length;
	return n && !strncmp(path, vcr_self.workspace, n) && path[n] == '/' && path[n + 1] && path[n + 1] != '/' ? path + n + 1 : path;
}

uint64_t vcr_mark(uint32_t op, uint32_t flags, int fd, uint32_t existed, const char *path, const char *path2)
{
	struct vcr_rec_file f = { .op = op, .flags = flags, .fd = fd, .existed = existed };
	bool is_target = op == VCR_FILE_LINK && flags & 1;
	struct vcr_piece piece[3] = { { &f, sizeof f }, vcr_text(is_target ? path : from_workspace(path)), vcr_text(from_workspace(path2)) };
	vcr_want_collector();
	return vcr_append(VCR_REC_FILE, 0, 0, piece, 3, 0);
}

/* A scratch if marks can be made now. */
static struct vcr_scratch *begin(void)
{
	if (!vcr_ready())
		return NULL;
	struct vcr_scratch *s = vcr_self.sandboxed ? NULL : vcr_scratch_take();
	if (!s)
		vcr_lost(0);
	return s;
}

void vcr_mark_at(uint32_t op, uint32_t flags, int dir, const char *path)
{
	struct vcr_scratch *s = begin();
	if (op == VCR_FILE_RMDIR)
		vcr_names_changed();
	if (!s)
		return;
	bool known = vcr_path_absolute(dir, path, s->a);
	if (matters_or_deep(known, dir, path, s->a))
		vcr_mark(known ? op : VCR_FILE_DEEP, flags, -1, 2, s->a, "");
	vcr_scratch_give(s);
}

/* watched: it was opened as a file of the workspace. */
static void mark_open(uint32_t op, uint32_t flags, int fd, bool watched)
{
	struct vcr_scratch *s = begin();
	if (!s)
		return;
	if (!vcr_names_find(fd, s->a) && !vcr_path_of_fd(fd, s->a)) {
		if (watched && vcr_path_is_too_long(fd, s->a))
			vcr_mark(VCR_FILE_DEEP, flags, fd, 1, "", "");
	} else if (vcr_path_matters(s->a)) {
		vcr_mark(op, flags, fd, 1, s->a, "");
	}
	vcr_scratch_give(s);
}

static bool is_watched(int kind)
{
	return kind == VCR_FD_FILE || kind == VCR_FD_DIRTY;
}

void vcr_mark_fd(uint32_t op, uint32_t flags, int fd)
{
	mark_open(op, flags, fd, is_watched(vcr_fd_get(fd)));
}

void vcr_mark_two(uint32_t op, uint32_t flags, int dir, const char *path, int dir2, const char *path2)
{
	struct vcr_scratch *s = begin();
	vcr_names_changed(); /* through syscall() nobody has said so before, and it has happened now */
	if (!s)
		return;
	bool a = vcr_path_absolute(dir, path, s->a), b = vcr_path_absolute(dir2, path2, s->b);
	if (matters_or_deep(a, dir, path, s->a) || matters_or_deep(b, dir2, path2, s->b)) {
		vcr_mark(op, flags, -1, 2, a ? s->a : "", b ? s->b : "");
		if (!a || !b)
			vcr_mark(VCR_FILE_DEEP, flags, -1, 2, "", "");
	}
	vcr_scratch_give(s);
}

/* Is the open file in the workspace, under whatever name it was asked for? s->a becomes its true one. */
static bool leads_in(int fd, bool known, struct vcr_scratch *s)
{
	if (known)
		strcpy(s->b, s->a);
	if (!vcr_path_of_fd(fd, s->a))
		return false;
	if (vcr_path_matters(s->a))
		return true;
	if (known && !strcmp(s->a, s->b))
		vcr_names_keep_outside(s->a);
	return false;
}

void vcr_after_open(int fd, int dir, const char *path, int flags, uint32_t existed)
{
	if (fd < 0)
		return;
	int saved = errno;
	struct vcr_scratch *s = begin();
	if (vcr_fd_get(fd) && !vcr_guest_seen())
		vcr_fd_set(fd, VCR_FD_NONE); /* its predecessor was closed behind our back */
	if (!s)
		return;
	bool known = vcr_path_absolute(dir, path, s->a), matters = known && vcr_path_matters(s->a);
	if (known && vcr_self.notes_path && !strcmp(s->a, vcr_self.notes_path) && !vcr_guest_seen())
		vcr_fd_set(fd, VCR_FD_NOTES);
	/* From outside a link may lead in: what was opened knows. Not asked of /dev/null and the like, nor of a new file that stands beside one of which it
	 * is known: an installation unpacks by the thousand in a directory of its own. */
	if (!matters && strncmp(s->a, "/dev/", 5) && !(known && existed == 0 && vcr_names_is_outside(s->a)))
		matters = leads_in(fd, known, s);
	bool deep = !matters && !known && vcr_path_deep(dir, path, s->a);
	if ((matters || deep) && (flags & O_TMPFILE) != O_TMPFILE) {
		bool own = !vcr_guest_seen();
		uint64_t at = vcr_mark(deep ? VCR_FILE_DEEP : VCR_FILE_OPEN, (uint32_t)flags, fd, existed, s->a, "");
		if (own) {
			vcr_fd_set(fd, VCR_FD_FILE);
			if ((unsigned)fd < VCR_FDS)
				vcr_fd_at(fd)->conn = !deep && (flags & O_TRUNC || existed == 0) ? (uint32_t)(at / VCR_SPOOL_ALIGN) : 0;
			if (existed == 0 && !deep)
				vcr_names_keep(fd, s->a);
		}
	}
	vcr_scratch_give(s);
	errno = saved;
}

/* An empty note: read on in the file. */
void vcr_mark_notes(void)
{
	vcr_append(VCR_REC_NOTE, 0, 0, NULL, 0, VCR_RING);
}

bool vcr_mark_is_pending(int fd)
{
	int kind = vcr_fd_get(fd);
	return (kind == VCR_FD_FILE || kind == VCR_FD_DIRTY) && vcr_spool_is_untaken(vcr_fd_at(fd)->conn);
}

/* The descriptor itself says which file it is: the table may be stale. */
void vcr_mark_written(int fd)
{
	if (vcr_fd_get(fd) == VCR_FD_NOTES)
		vcr_mark_notes();
	if (vcr_fd_get(fd) != VCR_FD_FILE)
		return;
	bool told = vcr_mark_is_pending(fd);
	if (!told && vcr_guest_seen())
		return;
	vcr_fd_set(fd, VCR_FD_DIRTY);
	if (!told)
		vcr_mark_fd(VCR_FILE_WRITE, 0, fd);
}

void vcr_mark_closed(int fd, int kind)
{
	if (vcr_guest_seen())
		return;
	bool last = kind == VCR_FD_DIRTY || !vcr_fd_has_file_copy(fd); /* a shell opens, duplicates, closes, and then writes */
	vcr_fd_set(fd, VCR_FD_NONE);
	if (last && !vcr_spool_add_closed(vcr_fd_at(fd)->conn))
		mark_open(VCR_FILE_CLOSE, kind == VCR_FD_DIRTY, fd, is_watched(kind));
}
