#include "paths.h"
#include "limits.h"
#include "scan.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <openssl/sha.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static bool exists(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	return snprintf(path, sizeof path, "%s/%s", strcmp(dir, "/") ? dir : "", name) < (int)sizeof path && !lstat(path, &st);
}

/* Cut the last component; false at the root. */
static bool to_parent(char *path)
{
	char *slash = strrchr(path, '/');
	if (!slash || !strcmp(path, "/"))
		return false;
	*(slash == path ? slash + 1 : slash) = 0;
	return true;
}

static int resolved(const char *dir, char out[PATH_MAX], struct vcr_error *e)
{
	if (realpath(dir && *dir ? dir : ".", out))
		return 0;
	return vcr_error_sys(e, errno, "%s", dir && *dir ? dir : ".");
}

int vcr_paths_workspace(const char *dir, struct vcr_buf *out, struct vcr_error *e)
{
	char start[PATH_MAX], at[PATH_MAX];
	int err = resolved(dir, start, e);
	if (err)
		return err;
	strcpy(at, start);
	do {
		if (exists(at, ".git"))
			return vcr_buf_puts(out, at);
	} while (to_parent(at));
	return vcr_buf_puts(out, start);
}

int vcr_paths_vcr_dir(const char *dir, struct vcr_buf *out, struct vcr_error *e)
{
	char at[PATH_MAX];
	const char *set = getenv("VCR_DIR");
	VCR_AUTO_BUF workspace = VCR_BUF_INIT;
	if (set && *set == '/')
		return vcr_buf_puts(out, set);
	int err = resolved(dir, at, e);
	if (err)
		return err;
	if (set && *set)
		return vcr_buf_printf(out, "%s/%s", at, set);
	if ((err = vcr_paths_workspace(dir, &workspace, e)))
		return err;
	for (;;) {
		char path[PATH_MAX + 8];
		struct stat st;
		snprintf(path, sizeof path, "%s/.vcr", strcmp(at, "/") ? at : "");
		if (!stat(path, &st) && S_ISDIR(st.st_mode))
			return vcr_buf_puts(out, path);
		if (!strcmp(at, workspace.data) || !to_parent(at))
			break;
	}
	return vcr_buf_printf(out, "%s/.vcr", strcmp(workspace.data, "/") ? workspace.data : "");
}

/* mkdir -p; new directories are 0700. */
static int make_dirs(const char *path, struct vcr_error *e)
{
	char at[PATH_MAX];
	struct stat st;
	if (strlen(path) >= sizeof at)
		return vcr_error_set(e, VCR_ELIMIT, "%s: path too long", path);
	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		return 0;
	strcpy(at, path);
	for (char *p = at + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			if (mkdir(at, 0700) && errno != EEXIST)
				return vcr_error_sys(e, errno, "cannot make the directory %s", at);
			*p = '/';
		}
	if (mkdir(at, 0700) && errno != EEXIST)
		return vcr_error_sys(e, errno, "cannot make the directory %s", at);
	return 0;
}

int vcr_paths_make_vcr_dir(const char *vcr_dir, struct vcr_error *e)
{
	struct stat st;
	char path[PATH_MAX];
	bool is_new = stat(vcr_dir, &st) != 0;
	int err = make_dirs(vcr_dir, e);
	if (err || !is_new || snprintf(path, sizeof path, "%s/.gitignore", vcr_dir) >= (int)sizeof path)
		return err;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0) {
		if (write(fd, "*\n", 2) != 2)
			unlink(path); /* a convenience only */
		close(fd);
	}
	return 0;
}

static const char *home(void)
{
	const char *h = getenv("HOME");
	struct passwd *pw = h && *h == '/' ? NULL : getpwuid(getuid());
	return h && *h == '/' ? h : pw ? pw->pw_dir : "/nonexistent";
}

int vcr_paths_cache_dir(const char *name, bool make, struct vcr_buf *out, struct vcr_error *e)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *h = getenv("HOME");
	size_t from = out->len;
	struct stat st;
	bool given = cache && *cache == '/';
	if (!given && (!h || *h != '/' || stat(h, &st) || !S_ISDIR(st.st_mode)))
		return vcr_error_set(e, VCR_ENOTFOUND, "no cache directory: $HOME is none");
	vcr_buf_printf(out, given ? "%s/vcr/%s" : "%s/.cache/vcr/%s", given ? cache : h, name);
	int err = out->err ? vcr_error_set(e, out->err, "cache directory: %s", vcr_strerror(out->err)) : make ? make_dirs(out->data + from, e) : 0;
	if (err)
		vcr_buf_cut(out, from);
	return err;
}

int vcr_paths_state_root(struct vcr_buf *out, struct vcr_error *e)
{
	const char *state = getenv("XDG_STATE_HOME");
	if (state && *state == '/')
		vcr_buf_printf(out, "%s/vcr", state);
	else
		vcr_buf_printf(out, "%s/.local/state/vcr", home());
	return out->err ? vcr_error_set(e, out->err, "state directory: %s", vcr_strerror(out->err)) : 0;
}

int vcr_paths_state_dir(const char *workspace, struct vcr_buf *out, struct vcr_error *e)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	size_t from = out->len;
	int err = vcr_paths_state_root(out, e);
	if (err)
		return err;
	SHA256((const unsigned char *)workspace, strlen(workspace), hash);
	vcr_buf_putc(out, '/');
	vcr_buf_hex(out, hash, 8);
	if (out->err)
		return vcr_error_set(e, out->err, "state directory: %s", vcr_strerror(out->err));
	err = make_dirs(out->data + from, e);
	if (err)
		vcr_buf_cut(out, from);
	return err;
}

/* DIR is (made) a directory of ours, 0700, on a tmpfs: nothing put there reaches a disk. */
static int usable_runtime(const char *dir, const char *parent, struct vcr_error *e)
{
	struct statfs fs;
	struct stat st;
	if (statfs(parent, &fs))
		return vcr_error_sys(e, errno, "%s", parent);
	if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
		return vcr_error_set(e, VCR_ENOSYS, "%s is not a tmpfs, and what is recorded must not reach a disk unredacted; mount a tmpfs on /dev/shm", parent);
	if (mkdir(dir, 0700) && errno != EEXIST)
		return vcr_error_sys(e, errno, "cannot make %s", dir);
	if (lstat(dir, &st))
		return vcr_error_sys(e, errno, "%s", dir);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		return vcr_error_set(e, VCR_EINVAL, "%s is not a private directory of this user; remove it", dir);
	return 0;
}

int vcr_paths_runtime_dir(struct vcr_buf *out, struct vcr_error *e)
{
	char dir[PATH_MAX];
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	if (xdg && *xdg == '/' && snprintf(dir, sizeof dir, "%s/vcr", xdg) < (int)sizeof dir && !usable_runtime(dir, xdg, NULL))
		return vcr_buf_puts(out, dir);
	snprintf(dir, sizeof dir, "/dev/shm/vcr-%u", (unsigned)geteuid());
	int err = usable_runtime(dir, "/dev/shm", e);
	return err ? err : vcr_buf_puts(out, dir);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);
	return n >= k && !strcmp(s + n - k, end);
}

int vcr_paths_check_session_id(const char *id, struct vcr_error *e)
{
	const char *why = NULL;
	size_t n = strlen(id);
	if (!n)
		why = "is empty";
	else if (n > VCR_MAX_SESSION_ID)
		why = "is longer than 100 characters";
	else if (*id == '-' || *id == '.' || *id == ' ')
		why = "begins with '-', '.' or a space";
	else if (strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._- ") != n)
		why = "has a character other than letters, digits, '.', '_', '-' and space";
	else if (ends_with(id, ".lock") || ends_with(id, ".vcr") || ends_with(id, ".") || ends_with(id, " "))
		why = "ends in .lock, .vcr, '.' or a space";
	return why ? vcr_error_set(e, VCR_EINVAL, "the session id '%.120s' %s", id, why) : 0;
}

int vcr_paths_new_session_id(char out[32])
{
	unsigned char r[2];
	struct tm tm = { .tm_mday = 1, .tm_year = 70 };
	time_t now = time(NULL);
	localtime_r(&now, &tm);
	if (getrandom(r, sizeof r, GRND_NONBLOCK) != sizeof r) {
		r[0] = (unsigned char)getpid();
		r[1] = (unsigned char)(getpid() >> 8);
	}
	size_t n = strftime(out, 32, "%Y%m%d-%H%M%S", &tm);
	snprintf(out + n, 32 - n, "-%02x%02x", r[0], r[1]);
	return 0;
}

/* When the session began, as its header says; the file's last change if it does not say. Nanoseconds since 1970. */
static int64_t begun(int dir, const char *name, const struct stat *st)
{
	static const char key[] = "\"created_at\":";
	char text[8192];
	int64_t ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec, said;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text, 0);
	if (fd >= 0)
		close(fd);
	const char *at = n > 0 ? memmem(text, (size_t)n, key, sizeof key - 1) : NULL, *end = text + (n > 0 ? n : 0);
	for (at = at ? at + sizeof key - 1 : NULL; at && at < end && *at == ' '; at++)
		;
	const char *quote = at && at < end && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at - 1)) : NULL;
	return quote && vcr_scan_time(at + 1, (size_t)(quote - at - 1), &said) && said < ns ? said : ns;
}

/* Add DIR/NAME.vcr of the newest session file whose id begins with `prefix`; *matches counts them. */
static int newest(const char *dir, const char *prefix, struct vcr_buf *path, int *matches, struct vcr_error *e)
{
	DIR *d = opendir(dir);
	char best[NAME_MAX + 1] = "";
	int64_t when = INT64_MIN;
	struct dirent *ent;
	*matches = 0;
	if (!d)
		return errno == ENOENT ? 0 : vcr_error_sys(e, errno, "%s", dir);
	while ((ent = readdir(d))) {
		struct stat st;
		if (*ent->d_name == '.' || !ends_with(ent->d_name, ".vcr") || strncmp(ent->d_name, prefix, strlen(prefix)) ||
		    fstatat(dirfd(d), ent->d_name, &st, 0) || !S_ISREG(st.st_mode))
			continue;
		++*matches;
		/* A session begins before its file changes last. Two may overlap: the one that began last is meant, whichever is written to last. */
		if ((int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec <= when)
			continue;
		int64_t began = begun(dirfd(d), ent->d_name, &st);
		if (began > when) {
			strcpy(best, ent->d_name);
			when = began;
		}
	}
	closedir(d);
	return *best ? vcr_buf_printf(path, "%s/%s", dir, best) : 0;
}

int vcr_paths_find_session(const char *vcr_dir, const char *name, struct vcr_buf *path, struct vcr_error *e)
{
	char file[PATH_MAX];
	struct stat st;
	int matches, err;
	if (!name || !strcmp(name, "last")) {
		if ((err = newest(vcr_dir, "", path, &matches, e)))
			return err;
		return matches ? 0 : vcr_error_set(e, VCR_ENOTFOUND, "no session in %s; record one with: vcr-record -- COMMAND", vcr_dir);
	}
	if ((strchr(name, '/') || ends_with(name, ".vcr")) && !stat(name, &st))
		return vcr_buf_puts(path, name);
	if (!strchr(name, '/') && snprintf(file, sizeof file, "%s/%s%s", vcr_dir, name, ends_with(name, ".vcr") ? "" : ".vcr") < (int)sizeof file && !stat(file, &st))
		return vcr_buf_puts(path, file);
	size_t from = path->len;
	if ((err = newest(vcr_dir, name, path, &matches, e)))
		return err;
	if (matches == 1)
		return 0;
	vcr_buf_cut(path, from);
	return matches ? vcr_error_set(e, VCR_EINVAL, "'%s' begins the names of %d sessions in %s; give more of it", name, matches, vcr_dir)
		: vcr_error_set(e, VCR_ENOTFOUND, "no session '%s' in %s; vcr-log lists them", name, vcr_dir);
}
