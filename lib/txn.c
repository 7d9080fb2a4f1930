#include "txn.h"
#include "paths.h"
#include "replace.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 1 << 20 };

static int open_dir(const char *state_dir, int *dir, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%s/txn", state_dir);
	if (mkdir(path.data, 0700) && errno != EEXIST)
		return vcr_error_sys(e, errno, "%s", path.data);
	return vcr_replace_lock(path.data, "txn", dir, e);
}

static bool take_line(const char *text, const char *key, char *to, size_t cap)
{
	size_t n = strlen(key);
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (!strncmp(p, key, n) && p[n] == ' ')
			return (size_t)snprintf(to, cap, "%.*s", (int)strcspn(p + n + 1, "\n"), p + n + 1) < cap;
	return false;
}

static int load(int dir, const char *state_dir, const char *name, struct vcr_txn *out, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	char when[32];
	struct vcr_txn t = { 0 };
	vcr_buf_init(&text, MAX_FILE);
	int err = vcr_replace_read(dir, state_dir, name, &text, e);
	if (err)
		return err;
	if (!text.len)
		return vcr_error_set(e, VCR_ENOTFOUND, "there is no open transaction %s here", name);
	if (!take_line(text.data, "vcr-dir", t.vcr_dir, sizeof t.vcr_dir) || !take_line(text.data, "began", when, sizeof when))
		return vcr_error_set(e, VCR_ECORRUPT, "%s/txn/%s is damaged; remove it to give that transaction up", state_dir, name);
	snprintf(t.session, sizeof t.session, "%s", name);
	t.began_ns = strtoll(when, NULL, 10);
	*out = t;
	return 0;
}

/* How many there are; the first goes to *name. */
static int count(int dir, char *name, size_t cap)
{
	int fd = dup(dir), n = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	if (d)
		rewinddir(d);
	while (d && (ent = readdir(d)))
		if (!vcr_paths_check_session_id(ent->d_name, NULL) && !n++)
			snprintf(name, cap, "%s", ent->d_name);
	if (d)
		closedir(d);
	return n;
}

int vcr_txn_open(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	char other[256];
	int dir, err = vcr_paths_check_session_id(t->session, e);
	if (err || (err = open_dir(state_dir, &dir, e)))
		return err;
	vcr_buf_printf(&text, "vcr-dir %s\nbegan %lld\n", t->vcr_dir, (long long)t->began_ns);
	if (strchr(t->vcr_dir, '\n'))
		err = vcr_error_set(e, VCR_EINVAL, "a directory whose name has a line break");
	else if (count(dir, other, sizeof other))
		err = vcr_error_set(e, VCR_EEXIST, "transaction %s is open in this workspace; commit or abort it first", other);
	else
		err = vcr_replace_write(dir, state_dir, t->session, &text, e);
	close(dir);
	return err;
}

int vcr_txn_find(const char *state_dir, const char *session, struct vcr_txn *out, struct vcr_error *e)
{
	char only[256];
	int dir, err = session ? vcr_paths_check_session_id(session, e) : 0;
	if (err || (err = open_dir(state_dir, &dir, e)))
		return err;
	if (!session && !count(dir, only, sizeof only))
		err = vcr_error_set(e, VCR_ENOTFOUND, "no transaction is open in this workspace");
	else
		err = load(dir, state_dir, session ? session : only, out, e);
	close(dir);
	return err;
}

int vcr_txn_close(const char *state_dir, const char *session, struct vcr_error *e)
{
	int dir, err = vcr_paths_check_session_id(session, e);
	if (err || (err = open_dir(state_dir, &dir, e)))
		return err;
	if (unlinkat(dir, session, 0) && errno != ENOENT)
		err = vcr_error_sys(e, errno, "%s/txn/%s", state_dir, session);
	close(dir);
	return err;
}
