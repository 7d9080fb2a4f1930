#include "join.h"
#include "json.h"
#include "limits.h"
#include "replace.h"
#include "session.h"
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct joining {
	const char *id;
	FILE *to;
	void *bodies;                /* tsearch(3): refs that are there already */
	char *context;               /* of the first file that says it */
	int64_t base, last;          /* seq: what this file's begin behind, and the highest so far */
	bool header;
	const char *path;
	struct vcr_error *e;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* A body is known by what it holds: the same ref is the same body. */
static int is_new_body(struct joining *x, const struct vcr_json *j, int data, bool *is_new)
{
	char *ref = vcr_json_strdup(j, vcr_json_get(j, data, "ref"));
	char **found = ref ? tsearch(ref, &x->bodies, by_text) : NULL;
	*is_new = !ref || (found && *found == ref);
	if (!*is_new || !found)
		free(ref);
	return ref && !found ? vcr_error_set(x->e, VCR_ENOMEM, "no memory") : 0;
}

static int same_context(struct joining *x, const struct vcr_json *j, int data, bool *first)
{
	size_t n;
	const char *raw = vcr_json_raw(j, data, &n);
	*first = !x->context;
	if (!x->context)
		return (x->context = strndup(raw, n)) ? 0 : vcr_error_set(x->e, VCR_ENOMEM, "no memory");
	VCR_AUTO_JSON then = VCR_JSON_INIT;
	bool same = !vcr_json_parse(&then, x->context, strlen(x->context), VCR_JSON_RELAXED, NULL);
	for (const char *const *key = (const char *const[]){ "cwd", "workspace", "home", "tmp", NULL }; *key && same; key++)
		same = vcr_json_equal(&then, vcr_json_get(&then, 0, *key), j, vcr_json_get(j, data, *key));
	return same ? 0 : vcr_error_set(x->e, VCR_EINVAL, "%s was recorded in another directory, or with another home, than what it continues: they cannot be one session", x->path);
}

struct change { const char *at; size_t n; const char *to; };

static int by_place(const void *a, const void *b)
{
	const struct change *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

/* The line with some values written otherwise. */
static void put_line(struct joining *x, const char *line, size_t n, struct change *c, size_t nc)
{
	qsort(c, nc, sizeof *c, by_place);
	const char *done = line;
	for (size_t i = 0; i < nc; i++) {
		fwrite(done, 1, (size_t)(c[i].at - done), x->to);
		fputs(c[i].to, x->to);
		done = c[i].at + c[i].n;
	}
	fwrite(done, 1, n - (size_t)(done - line), x->to);
	putc('\n', x->to);
}

static int take_line(struct joining *x, const char *line, size_t n)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct change c[2];
	size_t nc = 0;
	char id[VCR_MAX_SESSION_ID + 3], seq[24];
	int64_t was;
	if (vcr_json_parse(&j, line, n, VCR_JSON_RELAXED, NULL)) {
		put_line(x, line, n, c, 0); /* it was a bad line before */
		return 0;
	}
	int type = vcr_json_get(&j, 0, "type"), data = vcr_json_get(&j, 0, "data"), of = vcr_json_get(&j, data, "session_id");
	bool header = vcr_json_is(&j, type, "session"), frame = vcr_json_is(&j, type, "frame"), wanted = true;
	int err = 0;
	if (vcr_json_is(&j, type, "vcr.end") || (header && x->header))
		return 0;
	x->header |= header;
	if (vcr_json_is(&j, type, "vcr.body"))
		err = is_new_body(x, &j, data, &wanted);
	else if (vcr_json_is(&j, type, "vcr.context"))
		err = same_context(x, &j, data, &wanted);
	if (err || !wanted)
		return err;
	if ((header || frame) && of >= 0) {
		snprintf(id, sizeof id, "\"%s\"", x->id);
		c[nc].at = vcr_json_raw(&j, of, &c[nc].n);
		c[nc++].to = id;
	}
	int number = frame ? vcr_json_path(&j, data, "metadata.custom.vcr.seq") : vcr_json_is(&j, type, "vcr.http") ? vcr_json_get(&j, data, "seq") : -1;
	if (vcr_json_int(&j, number, &was) && was >= 0 && was < (int64_t)1 << 40) {
		snprintf(seq, sizeof seq, "%lld", (long long)(was + x->base));
		x->last = was + x->base > x->last ? was + x->base : x->last;
		c[nc].at = vcr_json_raw(&j, number, &c[nc].n);
		c[nc++].to = seq;
	}
	put_line(x, line, n, c, nc);
	return 0;
}

static int take_file(struct joining *x, const char *path)
{
	struct stat st;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err = 0;
	FILE *from = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
	if (!from) {
		if (fd >= 0)
			close(fd);
		return vcr_error_set(x->e, VCR_EIO, "%s cannot be read", path);
	}
	x->path = path;
	x->base = x->last;
	while (!err && (n = getline(&line, &cap, from)) > 0) {
		n -= line[n - 1] == '\n';
		if (n > VCR_MAX_LINE)
			err = vcr_error_set(x->e, VCR_ELIMIT, "%s has a line that is too long", path);
		else if (n)
			err = take_line(x, line, (size_t)n);
	}
	if (!err && ferror(from))
		err = vcr_error_sys(x->e, errno, "%s", path);
	free(line);
	fclose(from);
	return err;
}

/* Totals and hash, as they are made after a crash. */
static int end(const char *path, struct vcr_error *e)
{
	struct vcr_session *s;
	int err = vcr_session_reopen(&s, path, e);
	if (!err)
		err = vcr_session_end(s, NULL, e);
	int fd = err ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (fsync(fd) && errno != EINVAL)
			err = vcr_error_sys(e, errno, "%s", path);
		close(fd);
	}
	return err;
}

int vcr_join(const char *vcr_dir, const char *const *path, size_t n, const char *session_id, struct vcr_buf *made, struct vcr_error *e)
{
	struct joining x = { .id = session_id, .e = e };
	char dir[VCR_MAX_PATH];
	snprintf(dir, sizeof dir, "%s/.join-XXXXXX", vcr_dir);
	if (!mkdtemp(dir))
		return vcr_error_sys(e, errno, "%s", dir);
	vcr_buf_printf(made, "%s/%s.vcr", dir, session_id);
	int err = 0, fd = made->err ? -1 : open(made->data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || !(x.to = fdopen(fd, "w")))
		err = vcr_error_sys(e, errno, "%s", made->data);
	for (size_t i = 0; i < n && !err; i++)
		err = take_file(&x, path[i]);
	if (x.to && (ferror(x.to) | fclose(x.to)) && !err)
		err = vcr_error_sys(e, errno, "%s cannot be written", made->data);
	tdestroy(x.bodies, free);
	free(x.context);
	if (!err)
		err = end(made->data, e);
	if (err)
		vcr_join_remove(made->data);
	return err;
}

void vcr_join_remove(const char *made)
{
	static const char *const files[] = { "manifest.json", ".gitignore", NULL };
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	const char *slash = strrchr(made, '/');
	if (!slash || vcr_buf_add(&dir, made, (size_t)(slash - made)))
		return;
	unlink(made);
	for (const char *const *f = files; *f; f++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		vcr_buf_printf(&path, "%s/%s", dir.data, *f);
		unlink(path.data);
	}
	rmdir(dir.data);
}
