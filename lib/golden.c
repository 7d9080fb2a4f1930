#include "golden.h"
#include "canon.h"
#include "paths.h"
#include "replace.h"
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

enum { MAX_INDEX = 64 << 20, STEP = 1 << 16, MB_MOST = 16 };
static const char index_name[] = "index.json";

/* ---- Fingerprints ---- */

/* What str.strip() of Python takes off. */
static bool is_blank(wchar_t c)
{
	return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
		c == 0x202f || c == 0x205f || c == 0x3000;
}

/* A sigma at the end of a word has a lower case of its own. */
static bool ends_word(const wchar_t *from, const wchar_t *at, const wchar_t *end)
{
	return at > from && iswalpha(at[-1]) && !(at + 1 < end && iswalpha(at[1]));
}

static int put_wide(struct vcr_buf *out, wchar_t c)
{
	char s[MB_MOST];
	mbstate_t state = { 0 };
	size_t n = wcrtomb(s, c, &state);
	return n == (size_t)-1 ? VCR_EINVAL : vcr_buf_add(out, s, n);
}

static int fold_wide(const wchar_t *w, size_t n, struct vcr_buf *out)
{
	const wchar_t *from = w, *end = w + n;
	while (from < end && is_blank(*from))
		from++;
	while (from < end && is_blank(end[-1]))
		end--;
	int err = 0;
	for (const wchar_t *at = from; at < end && !err; at++)
		if (*at == 0x130)
			err = vcr_buf_puts(out, "i\xcc\x87");
		else
			err = put_wide(out, *at == 0x3a3 && ends_word(from, at, end) ? 0x3c2 : (wchar_t)towlower((wint_t)*at));
	return err;
}

/* Stripped and in lower case. The locale is this thread's while we fold. */
static int fold(const char *task, struct vcr_buf *out)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), before;
	if (!utf8)
		return VCR_ENOSYS;
	before = uselocale(utf8);
	size_t n = mbstowcs(NULL, task, 0);
	wchar_t *w = n == (size_t)-1 ? NULL : calloc(n + 1, sizeof *w);
	int err = n == (size_t)-1 ? VCR_EINVAL : !w ? VCR_ENOMEM : 0;
	if (!err) {
		mbstowcs(w, task, n + 1);
		err = fold_wide(w, n, out);
	}
	free(w);
	uselocale(before);
	freelocale(utf8);
	return err;
}

static int by_key(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;
	size_t n = strcspn(x, "="), m = strcspn(y, "=");
	int order = memcmp(x, y, n < m ? n : m);
	return order ? order : (n > m) - (n < m);
}

static int write_pairs(const char **sorted, size_t n, struct vcr_buf *out, struct vcr_error *e)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	for (size_t i = 0; i < n; i++) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		size_t k = strcspn(sorted[i], "=");
		if (!k || !sorted[i][k])
			return vcr_error_set(e, VCR_EINVAL, "an identity is KEY=VALUE, not '%.60s'", sorted[i]);
		if (i && !by_key(&sorted[i - 1], &sorted[i]))
			return vcr_error_set(e, VCR_EINVAL, "the identity names '%.*s' twice", (int)(k < 60 ? k : 60), sorted[i]);
		vcr_buf_add(&key, sorted[i], k);
		vcr_jw_key(&w, key.data);
		vcr_jw_str(&w, sorted[i] + k + 1);
	}
	vcr_jw_object_end(&w);
	return out->err;
}

int vcr_golden_identity(const char *const *pairs, struct vcr_buf *out, struct vcr_error *e)
{
	size_t n = 0;
	while (pairs && pairs[n])
		n++;
	const char **sorted = calloc(n + 1, sizeof *sorted);
	if (!sorted)
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	if (n)
		memcpy(sorted, pairs, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, by_key);
	int err = write_pairs(sorted, n, out, e);
	free(sorted);
	return err;
}

int vcr_golden_fingerprint(const char *task, const char *identity_json, char out[VCR_FINGERPRINT], struct vcr_error *e)
{
	VCR_AUTO_BUF folded = VCR_BUF_INIT, both = VCR_BUF_INIT;
	char hex[VCR_KEY_LEN];
	int err = fold(task, &folded);
	if (err || !folded.len)
		return vcr_error_set(e, err ? err : VCR_EINVAL, err == VCR_EINVAL ? "the task is no UTF-8" : err ? "the task: %s" : "the task is empty", vcr_strerror(err));
	if (!strcmp(identity_json, "{}")) {
		vcr_sha256_hex(folded.data, folded.len, hex);
	} else {
		struct vcr_jw w;
		vcr_jw_init(&w, &both);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "identity");
		vcr_jw_raw(&w, identity_json, strlen(identity_json));
		vcr_jw_key(&w, "task");
		vcr_jw_strn(&w, folded.data, folded.len);
		vcr_jw_object_end(&w);
		vcr_sha256_hex(both.data, both.len, hex);
	}
	snprintf(out, VCR_FINGERPRINT, "%.*s", VCR_FINGERPRINT - 1, hex);
	return 0;
}

bool vcr_golden_is_fingerprint(const char *s, size_t n)
{
	return n == VCR_FINGERPRINT - 1 && strspn(s, "0123456789abcdef") >= n;
}

/* ---- The directory ---- */

static int golden_dir(const char *vcr_dir, struct vcr_buf *dir)
{
	return vcr_buf_printf(dir, "%s/golden", vcr_dir);
}

int vcr_golden_path(const char *vcr_dir, const char *fingerprint, struct vcr_buf *path)
{
	return vcr_buf_printf(path, "%s/golden/%s.vcr", vcr_dir, fingerprint);
}

static int parse_index(const char *dir, const struct vcr_buf *text, struct vcr_json *j, struct vcr_error *e)
{
	struct vcr_error why = { 0 };
	if (vcr_json_document(j, text->data, text->len, VCR_JSON_RELAXED, &why))
		return vcr_error_set(e, VCR_ESYNTAX, "%s/%s is damaged (%s); mend it or move it away", dir, index_name, why.what);
	if (vcr_json_type(j, 0) == VCR_JSON_OBJECT)
		return 0;
	vcr_json_release(j);
	return vcr_error_set(e, VCR_ESYNTAX, "%s/%s is no object; mend it or move it away", dir, index_name);
}

static int read_index(int fd, const char *dir, struct vcr_buf *text, struct vcr_json *j, struct vcr_error *e)
{
	text->max = MAX_INDEX;
	int err = vcr_replace_read(fd, dir, index_name, text, e);
	if (!err && !text->len)
		err = vcr_buf_puts(text, "{}");
	return err ? err : parse_index(dir, text, j, e);
}

int vcr_golden_index(const char *vcr_dir, struct vcr_buf *text, struct vcr_json *j, struct vcr_error *e)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	if (golden_dir(vcr_dir, &dir))
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	int fd = open(dir.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		vcr_buf_puts(text, "{}");
		return parse_index(dir.data, text, j, e);
	}
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s cannot be opened", dir.data);
	int err = read_index(fd, dir.data, text, j, e);
	close(fd);
	return err;
}

/* Every entry but that one, then (entry not NULL) that one; one to a line, so that a diff of two indexes says something. */
static int write_index(int fd, const char *dir, const struct vcr_json *j, const char *fingerprint, const char *entry, struct vcr_error *e)
{
	VCR_AUTO_BUF made = VCR_BUF_INIT;
	const char *gap = "\n";
	vcr_buf_putc(&made, '{');
	for (int m = vcr_json_first(j, 0); m >= 0; m = vcr_json_next(j, m)) {
		struct vcr_jw w;
		if (vcr_json_is(j, m, fingerprint))
			continue;
		vcr_buf_puts(&made, gap);
		gap = ",\n";
		vcr_jw_init(&w, &made);
		vcr_jw_value(&w, j, m);
		vcr_buf_puts(&made, ": ");
		vcr_jw_init(&w, &made);
		vcr_jw_value(&w, j, vcr_json_value(j, m));
	}
	if (entry)
		vcr_buf_printf(&made, "%s\"%s\": %s", gap, fingerprint, entry);
	vcr_buf_puts(&made, "\n}\n");
	return made.err ? vcr_error_set(e, made.err, "%s/%s: %s", dir, index_name, vcr_strerror(made.err)) : vcr_replace_write(fd, dir, index_name, &made, e);
}

/* ---- Copies ---- */

static int copy_bytes(int from, int to)
{
	char *p = malloc(STEP);
	int sys = p ? 0 : ENOMEM;
	for (ssize_t n = 1; !sys && n;) {
		n = read(from, p, STEP);
		if (n < 0 && errno != EINTR)
			sys = errno;
		if (n > 0)
			sys = vcr_write_all(to, p, (size_t)n);
	}
	free(p);
	return sys ? sys : fsync(to) && errno != EINVAL ? errno : 0;
}

/* golden/FINGERPRINT.vcr, complete or not at all. */
static int copy_session(int dir, const char *where, const char *fingerprint, const char *session, struct vcr_error *e)
{
	char tmp[64], name[64];
	snprintf(tmp, sizeof tmp, ".%s_%d.tmp", fingerprint, (int)getpid());
	snprintf(name, sizeof name, "%s.vcr", fingerprint);
	int from = open(session, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (from < 0)
		return vcr_error_sys(e, errno, "%s cannot be opened", session);
	unlinkat(dir, tmp, 0);
	int to = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int sys = to < 0 ? errno : copy_bytes(from, to);
	close(from);
	if (to >= 0)
		close(to);
	if (!sys && renameat(dir, tmp, dir, name))
		sys = errno;
	if (!sys)
		return 0;
	unlinkat(dir, tmp, 0);
	return vcr_error_sys(e, sys, "%s/%s cannot be written", where, name);
}

int vcr_golden_put(const char *vcr_dir, const char *fingerprint, const char *session, const char *entry_json, struct vcr_error *e)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT, text = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int fd, err = vcr_paths_make_vcr_dir(vcr_dir, e);
	if (err || (err = golden_dir(vcr_dir, &dir)))
		return err;
	if (mkdir(dir.data, 0700) && errno != EEXIST)
		return vcr_error_sys(e, errno, "%s cannot be made", dir.data);
	if ((err = vcr_replace_lock(dir.data, index_name, &fd, e)))
		return err;
	if (!(err = read_index(fd, dir.data, &text, &j, e)) && !(err = copy_session(fd, dir.data, fingerprint, session, e)))
		err = write_index(fd, dir.data, &j, fingerprint, entry_json, e);
	close(fd);
	return err;
}

int vcr_golden_remove(const char *vcr_dir, const char *fingerprint, struct vcr_error *e)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT, text = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	char name[64];
	struct stat st;
	int fd, err = golden_dir(vcr_dir, &dir);
	if (err || (stat(dir.data, &st) && errno == ENOENT))
		return err ? err : 1;
	if ((err = vcr_replace_lock(dir.data, index_name, &fd, e)))
		return err;
	snprintf(name, sizeof name, "%s.vcr", fingerprint);
	err = read_index(fd, dir.data, &text, &j, e);
	bool listed = !err && vcr_json_get(&j, 0, fingerprint) >= 0;
	if (listed)
		err = write_index(fd, dir.data, &j, fingerprint, NULL, e);
	bool removed = !err && !unlinkat(fd, name, 0);
	close(fd);
	return err ? err : !listed && !removed;
}
