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

enum { MAX_FILE = 1 << 20, MAX_OPEN = 1000 };

/* What a writer that was killed has left: nobody else writes while the directory is locked. */
static void sweep(int dir)
{
	int fd = dup(dir);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	if (d)
		rewinddir(d);
	while (d && (ent = readdir(d)))
		if (!strncmp(ent->d_name, ".replace_", 9))
			unlinkat(dir, ent->d_name, 0);
	if (d)
		closedir(d);
}

static int open_dir(const char *state_dir, int *dir, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_buf_printf(&path, "%s/txn", state_dir);
	if (mkdir(path.data, 0700) && errno != EEXIST)
		return vcr_error_sys(e, errno, "%s", path.data);
	int err = vcr_replace_lock(path.data, "txn", dir, e);
	if (!err)
		sweep(*dir);
	return err;
}

static bool take_line(const char *text, const char *key, char *to, size_t cap)
{
	size_t n = strlen(key);
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (!strncmp(p, key, n) && p[n] == ' ')
			return (size_t)snprintf(to, cap, "%.*s", (int)strcspn(p + n + 1, "\n"), p + n + 1) < cap;
	return false;
}

/* Lines that may be missing; both ways by one list. */
#define MORE(X) X(dir) X(workspace) X(into) X(head) X(work) X(from) X(to) X(message)

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
#define TAKE(field) if (!take_line(text.data, #field, t.field, sizeof t.field)) *t.field = 0;
	MORE(TAKE)
	snprintf(t.session, sizeof t.session, "%s", name);
	t.began_ns = strtoll(when, NULL, 10);
	*out = t;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in dir, sorted, one a line. */
static int list_names(int dir, struct vcr_buf *out, struct vcr_error *e)
{
	int fd = dup(dir), n = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	char *name[MAX_OPEN];
	struct dirent *ent;
	if (d)
		rewinddir(d);
	while (d && n < MAX_OPEN && (ent = readdir(d)))
		if (!vcr_paths_check_session_id(ent->d_name, NULL) && (name[n] = strdup(ent->d_name)))
			n++;
	if (d)
		closedir(d);
	qsort(name, (size_t)n, sizeof *name, by_name);
	for (int i = 0; i < n; i++) {
		vcr_buf_printf(out, "%s\n", name[i]);
		free(name[i]);
	}
	return out->err ? vcr_error_set(e, out->err, "transactions: out of memory") : 0;
}

static int save(int dir, const char *state_dir, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	vcr_buf_printf(&text, "vcr-dir %s\nbegan %lld\n", t->vcr_dir, (long long)t->began_ns);
	if (strchr(t->vcr_dir, '\n'))
		return vcr_error_set(e, VCR_EINVAL, "a directory whose name has a line break");
#define PUT(field) if (*t->field) vcr_buf_printf(&text, #field " %s\n", t->field); if (strchr(t->field, '\n')) return vcr_error_set(e, VCR_EINVAL, #field ": a line break");
	MORE(PUT)
	return vcr_replace_write(dir, state_dir, t->session, &text, e);
}

/* One that is open and not isolated. */
static int find_other(int dir, const char *state_dir, const char *names, struct vcr_error *e)
{
	for (const char *p = names; *p; p += strcspn(p, "\n") + 1) {
		char name[256];
		struct vcr_txn t;
		snprintf(name, sizeof name, "%.*s", (int)strcspn(p, "\n"), p);
		if (load(dir, state_dir, name, &t, NULL) || !vcr_txn_is_isolated(&t))
			return vcr_error_set(e, VCR_EEXIST, "transaction %s is open in this workspace; commit or abort it first", name);
	}
	return 0;
}

int vcr_txn_open(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF names = VCR_BUF_INIT;
	struct stat st;
	int dir, err = vcr_paths_check_session_id(t->session, e);
	if (err || (err = open_dir(state_dir, &dir, e)))
		return err;
	if (!fstatat(dir, t->session, &st, AT_SYMLINK_NOFOLLOW))
		err = vcr_error_set(e, VCR_EEXIST, "transaction %s is open in this workspace; commit or abort it first", t->session);
	else if (!vcr_txn_is_isolated(t) && !(err = list_names(dir, &names, e)))
		err = find_other(dir, state_dir, names.data, e);
	if (!err)
		err = save(dir, state_dir, t, e);
	close(dir);
	return err;
}

int vcr_txn_save(const char *state_dir, const struct vcr_txn *t, struct vcr_error *e)
{
	int dir, err = vcr_paths_check_session_id(t->session, e);
	if (err || (err = open_dir(state_dir, &dir, e)))
		return err;
	err = save(dir, state_dir, t, e);
	close(dir);
	return err;
}

static int only_one(const char *names, char *only, size_t cap, struct vcr_error *e)
{
	size_t n = strcspn(names, "\n");
	if (!*names)
		return vcr_error_set(e, VCR_ENOTFOUND, "no transaction is open in this workspace");
	if (!names[n + 1])
		return snprintf(only, cap, "%.*s", (int)n, names), 0;
	VCR_AUTO_BUF list = VCR_BUF_INIT;
	for (const char *p = names; *p; p += n + 1) {
		n = strcspn(p, "\n");
		vcr_buf_printf(&list, "%s%.*s", p == names ? "" : ", ", (int)n, p);
	}
	return vcr_error_set(e, VCR_EBUSY, "several transactions are open here, say --session=ID: %.300s", list.data);
}

int vcr_txn_find(const char *state_dir, const char *session, struct vcr_txn *out, struct vcr_error *e)
{
	VCR_AUTO_BUF names = VCR_BUF_INIT;
	char only[256];
	int dir, err = session ? vcr_paths_check_session_id(session, e) : 0;
	if (err || (err = open_dir(state_dir, &dir, e)))
		return err;
	if (!session && !(err = list_names(dir, &names, e)))
		err = only_one(names.data, only, sizeof only, e);
	if (!err)
		err = load(dir, state_dir, session ? session : only, out, e);
	close(dir);
	return err;
}

int vcr_txn_list(const char *state_dir, struct vcr_buf *out, struct vcr_error *e)
{
	int dir, err = open_dir(state_dir, &dir, e);
	if (err)
		return err;
	err = list_names(dir, out, e);
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
