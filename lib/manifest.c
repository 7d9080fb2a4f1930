#include "manifest.h"
#include "json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_TRIES = 500, LOCK_PAUSE_MS = 10, MAX_MANIFEST = 64 << 20 };

/* The directory itself is the lock: it leaves no file behind and cannot go stale. */
static int lock_dir(const char *dir, int *fd, struct vcr_error *e)
{
	*fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return vcr_error_sys(e, errno, "%s cannot be opened", dir);
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(*fd, LOCK_EX | LOCK_NB))
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return 0; /* no locks on this file system: replacing is atomic all the same */
		nanosleep(&(struct timespec){ 0, LOCK_PAUSE_MS * 1000000 }, NULL);
	}
	close(*fd);
	return vcr_error_set(e, VCR_EBUSY, "%s/manifest.json is held by another process; the session is complete, only not listed there", dir);
}

static int read_all(int dir, struct vcr_buf *out)
{
	int fd = openat(dir, "manifest.json", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? 0 : VCR_EIO;
	for (;;) {
		char *to = vcr_buf_reserve(out, 1 << 16);
		ssize_t n = to ? read(fd, to, 1 << 16) : -1;
		if (n < 0 && to && errno == EINTR)
			continue;
		if (n > 0)
			vcr_buf_added(out, (size_t)n);
		if (n <= 0) {
			close(fd);
			return n < 0 ? VCR_EIO : 0;
		}
	}
}

static void write_sessions(struct vcr_jw *w, const struct vcr_json *j, int list, const char *id, const char *entry)
{
	vcr_jw_array(w);
	for (int m = vcr_json_first(j, list); m >= 0; m = vcr_json_next(j, m))
		if (!vcr_json_is(j, vcr_json_get(j, m, "session_id"), id))
			vcr_jw_value(w, j, m);
	vcr_jw_raw(w, entry, strlen(entry));
	vcr_jw_array_end(w);
}

static void compose(struct vcr_buf *out, const struct vcr_json *j, const char *id, const char *entry, const char *now)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	for (int m = vcr_json_first(j, 0); m >= 0; m = vcr_json_next(j, m)) {
		if (vcr_json_is(j, m, "sessions") || vcr_json_is(j, m, "updated_at"))
			continue;
		vcr_jw_value(&w, j, m);
		vcr_buf_putc(out, ':');
		w.after_key = true;
		vcr_jw_value(&w, j, vcr_json_value(j, m));
	}
	vcr_jw_key(&w, "sessions");
	write_sessions(&w, j, vcr_json_get(j, 0, "sessions"), id, entry);
	vcr_jw_key(&w, "updated_at");
	vcr_jw_str(&w, now);
	vcr_jw_object_end(&w);
	vcr_buf_putc(out, '\n');
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? errno : ENOSPC;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static int replace(int dir, const char *path, const struct vcr_buf *text, struct vcr_error *e)
{
	char tmp[64];
	snprintf(tmp, sizeof tmp, "manifest_%d.tmp", (int)getpid());
	unlinkat(dir, tmp, 0);
	int fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s/%s cannot be made", path, tmp);
	int err = write_all(fd, text->data, text->len);
	close(fd);
	if (!err && renameat(dir, tmp, dir, "manifest.json"))
		err = errno;
	if (!err)
		return 0;
	unlinkat(dir, tmp, 0);
	return vcr_error_sys(e, err, "%s/manifest.json cannot be replaced", path);
}

int vcr_manifest_put(const char *vcr_dir, const char *session_id, const char *entry_json, const char *now_iso, struct vcr_error *e)
{
	VCR_AUTO_BUF old = VCR_BUF_INIT, made = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int dir, err = lock_dir(vcr_dir, &dir, e);
	if (err)
		return err;
	old.max = MAX_MANIFEST;
	if (read_all(dir, &old)) {
		close(dir);
		return vcr_error_set(e, VCR_EIO, "%s/manifest.json cannot be read", vcr_dir);
	}
	if (old.len && (vcr_json_parse(&j, old.data, old.len, VCR_JSON_RELAXED, NULL) || vcr_json_type(&j, 0) != VCR_JSON_OBJECT)) {
		vcr_json_release(&j);
		renameat(dir, "manifest.json", dir, "manifest.json.bad");
	}
	compose(&made, &j, session_id, entry_json, now_iso);
	err = made.err ? vcr_error_set(e, made.err, "manifest.json: %s", vcr_strerror(made.err)) : replace(dir, vcr_dir, &made, e);
	close(dir);
	return err;
}
