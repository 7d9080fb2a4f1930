#include "times.h"
#include "beneath.h"
#include "replace.h"
#include "savepoint-parts.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 96 /* two numbers, an id */ };

/* refs: the session's, as vcr_refs_name makes them: their last part is a file name. */
static void file_of(const struct vcr_store *s, const char *refs, struct vcr_buf *path)
{
	vcr_buf_printf(path, "%s/times/%s", s->state_dir, strrchr(refs, '/') + 1);
}

void vcr_times_note(struct vcr_store *s, struct vcr_buf *lines, int64_t n, const char *path, int64_t mtime_ns)
{
	char id[VCR_PATH_ID];
	if (n >= 0 && !vcr_store_path_id(s, path, true, id, NULL))
		vcr_buf_printf(lines, "%lld %lld %s\n", (long long)n, (long long)mtime_ns, id);
}

/* What a writer that was killed left of a line gets an end, and is none. */
static int append(int fd, const struct vcr_buf *lines)
{
	struct stat st;
	char last = '\n';
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return errno = EINVAL;
	if (st.st_size > VCR_TIMES_MAX - (int64_t)lines->len)
		return 0;
	if (st.st_size && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n' && vcr_write_all(fd, "\n", 1))
		return errno;
	return vcr_write_all(fd, lines->data, lines->len);
}

static int keep_in(struct vcr_store *s, const char *refs, struct vcr_buf *lines, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	int err = 0;
	vcr_buf_printf(&path, "%s/times", s->state_dir);
	mkdir(path.data, 0700);
	vcr_buf_reset(&path);
	file_of(s, refs, &path);
	int fd = open(path.data, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0 || append(fd, lines))
		err = vcr_error_sys(e, errno, "%s", path.data);
	if (fd >= 0)
		close(fd);
	vcr_buf_reset(lines);
	return err;
}

int vcr_times_keep(struct vcr_store *s, struct vcr_buf *lines, struct vcr_error *e)
{
	if (lines->len && s->refs)
		return keep_in(s, s->refs, lines, e);
	vcr_buf_reset(lines);
	return 0;
}

int vcr_times_remove(struct vcr_store *s, const char *session, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	char *refs = vcr_refs_name(session);
	if (!refs)
		return vcr_error_set(e, VCR_ENOMEM, "times: out of memory");
	file_of(s, refs, &path);
	free(refs);
	return unlink(path.data) && errno != ENOENT ? vcr_error_sys(e, errno, "%s", path.data) : 0;
}

/* ---- Reading ---- */

struct wanted { char id[VCR_PATH_ID]; struct vcr_rollback_item *item; int64_t n; bool found; };

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct wanted *)a)->id, ((const struct wanted *)b)->id);
}

static bool read_number(const char **p, int64_t *out)
{
	char *end;
	if (**p != '-' && (**p < '0' || **p > '9'))
		return false;
	errno = 0;
	*out = strtoll(*p, &end, 10);
	if (errno || end == *p || *end != ' ')
		return false;
	*p = end + 1;
	return true;
}

/* "N NS ID", with its newline. */
static bool read_line(const char *p, int64_t *n, int64_t *ns, char id[VCR_PATH_ID])
{
	if (!read_number(&p, n) || *n < 0 || !read_number(&p, ns) || strspn(p, "0123456789abcdef") != VCR_PATH_ID - 1 || strcmp(p + VCR_PATH_ID - 1, "\n"))
		return false;
	memcpy(id, p, VCR_PATH_ID - 1);
	id[VCR_PATH_ID - 1] = 0;
	return true;
}

/* Of each path the first line from savepoint n on. */
static void search(FILE *in, struct wanted *w, size_t count, int64_t n)
{
	char line[LINE];
	struct wanted key, *found;
	int64_t at, ns, bytes = 0;
	bool whole = true; /* the last line had an end */
	while (bytes <= VCR_TIMES_MAX && fgets(line, sizeof line, in)) {
		bool begins = whole;
		size_t len = strlen(line);
		whole = len && line[len - 1] == '\n';
		bytes += (int64_t)len + !len;
		if (!begins || !read_line(line, &at, &ns, key.id) || at < n || !(found = bsearch(&key, w, count, sizeof *w, by_id)) || found->found)
			continue;
		found->found = true;
		found->n = at;
		found->item->mtime_ns = ns;
	}
}

/* It was the same file at that later savepoint. */
static bool is_believed(struct vcr_store *s, const char *session, const struct vcr_savepoint *to, const struct wanted *w)
{
	struct vcr_savepoint later;
	struct vcr_entry then;
	return w->found && (w->n == to->n || (!vcr_store_get(s, session, w->n, &later, NULL) && !vcr_store_find(s, later.tree, w->item->path, &then, NULL) &&
		(then.mode & VCR_ENTRY_TYPE) == (w->item->to.mode & VCR_ENTRY_TYPE) && !memcmp(then.oid, w->item->to.oid, VCR_OID)));
}

static FILE *open_times(const struct vcr_store *s, const char *refs)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct stat st;
	file_of(s, refs, &path);
	int fd = open(path.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	FILE *in = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
	if (!in && fd >= 0)
		close(fd);
	return in;
}

int vcr_times_plan(struct vcr_rollback *p, const struct vcr_rollback_where *w, const char *session, const struct vcr_savepoint *to, struct vcr_error *e)
{
	char *refs = vcr_refs_name(session);
	struct wanted *wanted = calloc(p->n + 1, sizeof *wanted);
	size_t n = 0;
	p->times = true;
	for (size_t i = 0; wanted && i < p->n; i++) {
		unsigned type = p->item[i].to.mode & VCR_ENTRY_TYPE;
		if ((type == VCR_ENTRY_FILE || type == VCR_ENTRY_LINK) && !vcr_store_path_id(w->store, p->item[i].path, false, wanted[n].id, NULL))
			wanted[n++].item = &p->item[i];
	}
	FILE *in = refs && n && to->n >= 0 ? open_times(w->store, refs) : NULL;
	if (in) {
		qsort(wanted, n, sizeof *wanted, by_id);
		search(in, wanted, n, to->n);
		fclose(in);
	}
	for (size_t i = 0; in && i < n; i++)
		wanted[i].item->timed = is_believed(w->store, session, to, &wanted[i]);
	int err = refs && wanted ? 0 : vcr_error_set(e, VCR_ENOMEM, "times: out of memory");
	free(refs);
	free(wanted);
	return err;
}

/* ---- What rollbacks replaced ---- */

static const char UNDO_REFS[] = "refs/vcr/%2bundo", UNDO[] = "+undo"; /* no session is called so */

void vcr_times_see(struct vcr_rollback *p, const struct vcr_rollback_where *w)
{
	struct timespec t;
	int root = open(w->workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	clock_gettime(CLOCK_REALTIME, &t);
	p->seen_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	for (size_t i = 0; root >= 0 && i < p->n; i++) {
		const char *name;
		struct stat st;
		int dir = vcr_beneath_parent(root, p->item[i].path, &name);
		p->item[i].seen = dir >= 0 && p->item[i].state != VCR_ROLLBACK_DONE && !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) && (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode));
		if (p->item[i].seen)
			p->item[i].was_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
		if (dir >= 0)
			close(dir);
	}
	if (root >= 0)
		close(root);
}

int vcr_times_keep_undo(const struct vcr_rollback *p, const struct vcr_rollback_where *w, struct vcr_error *e)
{
	VCR_AUTO_BUF lines = VCR_BUF_INIT;
	struct vcr_savepoint before, after;
	int err = vcr_rollback_last(w->store, &before, &after, e);
	if (err || before.time_ns < p->seen_ns) /* there was nothing to be done */
		return err;
	vcr_buf_init(&lines, VCR_TIMES_MAX);
	for (size_t i = 0; i < p->n; i++)
		if (p->item[i].seen)
			vcr_times_note(w->store, &lines, before.time_ns, p->item[i].path, p->item[i].was_ns);
	return lines.len ? keep_in(w->store, UNDO_REFS, &lines, e) : 0;
}

int vcr_times_plan_undo(struct vcr_rollback *p, const struct vcr_rollback_where *w, const struct vcr_savepoint *before, struct vcr_error *e)
{
	struct vcr_savepoint to = *before;
	to.n = before->time_ns;
	return vcr_times_plan(p, w, UNDO, &to, e);
}

void vcr_times_forget_undo(struct vcr_store *s, int64_t before_ns)
{
	VCR_AUTO_BUF kept = VCR_BUF_INIT, path = VCR_BUF_INIT;
	char line[LINE], id[VCR_PATH_ID];
	int64_t at, ns;
	FILE *in = open_times(s, UNDO_REFS);
	if (!in)
		return;
	vcr_buf_init(&kept, VCR_TIMES_MAX);
	while (fgets(line, sizeof line, in))
		if (read_line(line, &at, &ns, id) && at >= before_ns)
			vcr_buf_puts(&kept, line);
	fclose(in);
	vcr_buf_printf(&path, "%s/times", s->state_dir);
	int dir = open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && !kept.err)
		vcr_replace_write(dir, path.data, strrchr(UNDO_REFS, '/') + 1, &kept, NULL);
	if (dir >= 0)
		close(dir);
}
