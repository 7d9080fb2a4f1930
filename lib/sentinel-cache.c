#include "sentinel-cache.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char magic[8] = "vcrscan3";
static const int64_t settled_ns = 2000000000;

struct vcr_cache_head { char magic[8]; uint64_t key, size; int64_t written_ns; uint32_t nfile, nacross; uint64_t across; };
struct kept_file { struct vcr_file_id id; uint64_t path, skipped, function, finding, token; uint32_t language, lines, nfunction, nfinding, ntoken, is_broken; };
struct kept_function { uint64_t name, body, body_renamed; uint32_t start_line, end_line, start_byte, end_byte, parameters, cyclomatic,
	cognitive, nesting, length, tokens, plain, is_broken; };
struct kept_finding { uint64_t path, function, message; int64_t measured, threshold; uint32_t rule, severity, start_line, end_line; };

struct vcr_scan_cache { const char *map; size_t size; const struct kept_file *file; uint32_t nfile; };

/* n things of that size at a place, or NULL: they would not lie within the cache. */
static const void *at(const struct vcr_scan_cache *c, uint64_t place, uint64_t n, size_t size)
{
	return place && place % 8 == 0 && place <= c->size && n <= (c->size - place) / size ? c->map + place : NULL;
}

/* The cache ends with a NUL, so every word ends within it. */
static const char *word(const struct vcr_scan_cache *c, uint64_t place)
{
	return place && place < c->size ? c->map + place : NULL;
}

static bool is_valid(struct vcr_scan_cache *c, uint64_t key)
{
	const struct vcr_cache_head *h = (const void *)c->map;
	if (c->size < sizeof *h || memcmp(h->magic, magic, sizeof magic) || h->key != key || h->size != c->size || c->map[c->size - 1])
		return false;
	c->file = at(c, sizeof *h, h->nfile, sizeof *c->file);
	c->nfile = c->file ? h->nfile : 0;
	return c->file != NULL;
}

struct vcr_scan_cache *vcr_scan_cache_open(const char *path, uint64_t key)
{
	struct vcr_scan_cache *c = calloc(1, sizeof *c);
	struct stat st;
	int fd = c && path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size > (off_t)sizeof(struct vcr_cache_head)) {
		void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (map != MAP_FAILED) {
			c->map = map;
			c->size = (size_t)st.st_size;
			if (!is_valid(c, key)) {
				c->file = NULL;
				c->nfile = 0;
			}
		}
	}
	if (fd >= 0)
		close(fd);
	return c;
}

void vcr_scan_cache_close(struct vcr_scan_cache *c)
{
	if (c && c->map)
		munmap((void *)c->map, c->size);
	free(c);
}

static const struct kept_file *find(const struct vcr_scan_cache *c, const struct vcr_scanned_file *f)
{
	uint32_t low = 0, high = c->nfile;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const char *path = word(c, c->file[middle].path);
		int order = path ? strcmp(path, f->path) : -1;
		if (!order)
			return memcmp(&c->file[middle].id, &f->id, sizeof f->id) ? NULL : &c->file[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static bool get_findings(const struct vcr_scan_cache *c, uint64_t place, uint32_t n, struct vcr_findings *out)
{
	const struct kept_finding *k = n ? at(c, place, n, sizeof *k) : NULL;
	for (uint32_t i = 0; i < n; i++) {
		if (!k || k[i].rule >= VCR_RULE_COUNT || k[i].severity > VCR_SEVERITY_BLOCKER)
			return false;
		struct vcr_finding f = { .rule = k[i].rule, .severity = k[i].severity, .start_line = k[i].start_line, .end_line = k[i].end_line, .measured = k[i].measured,
			.threshold = k[i].threshold, .path = word(c, k[i].path), .function = word(c, k[i].function), .message = word(c, k[i].message) };
		if (!f.path || !f.function || !f.message || vcr_findings_add(out, &f))
			return false;
	}
	return true;
}

bool vcr_scan_cache_get(const struct vcr_scan_cache *c, struct vcr_scanned_file *f)
{
	const struct kept_file *k = f->id.size ? find(c, f) : NULL;
	const struct kept_function *from = k && k->nfunction ? at(c, k->function, k->nfunction, sizeof *from) : NULL;
	const struct vcr_clone_token *token = k && k->ntoken ? at(c, k->token, k->ntoken, sizeof *token) : NULL;
	if (!k || (k->nfunction && !from) || (k->ntoken && !token))
		return false;
	struct vcr_scanned_function *function = malloc((k->nfunction + 1) * sizeof *function);
	bool good = function != NULL;
	for (uint32_t i = 0; i < k->nfunction && good; i++) {
		const char *name = word(c, from[i].name);
		good = name != NULL;
		function[i] = (struct vcr_scanned_function){ name, from[i].start_line, from[i].end_line, from[i].start_byte, from[i].end_byte, from[i].parameters, from[i].cyclomatic,
			from[i].cognitive, from[i].nesting, from[i].length, from[i].tokens, from[i].body, from[i].body_renamed, from[i].plain != 0, from[i].is_broken != 0 };
	}
	if (!good || !get_findings(c, k->finding, k->nfinding, &f->findings)) {
		vcr_findings_release(&f->findings);
		free(function);
		return false;
	}
	f->function = function;
	f->nfunction = k->nfunction;
	f->token = (struct vcr_clone_token *)token;
	f->ntoken = k->ntoken;
	f->lines = k->lines;
	f->is_broken = k->is_broken != 0;
	f->skipped = k->skipped ? word(c, k->skipped) : NULL;
	f->is_cached = true;
	return true;
}

bool vcr_scan_cache_across(const struct vcr_scan_cache *c, const struct vcr_scanned *s, struct vcr_findings *out)
{
	const struct vcr_cache_head *h = (const void *)c->map;
	uint32_t n = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (!s->file[i].is_cached && s->file[i].id.size)
			return false;
		n += s->file[i].is_cached;
	}
	if (!c->file || n != c->nfile || !get_findings(c, h->across, h->nacross, out)) {
		vcr_findings_release(out);
		return false;
	}
	return true;
}

/* --- writing */

static void align(struct vcr_buf *b)
{
	vcr_buf_add(b, "\0\0\0\0\0\0\0", -b->len & 7);
}

static uint64_t put(struct vcr_buf *b, uint64_t base, const void *p, size_t n)
{
	align(b);
	uint64_t place = base + b->len;
	vcr_buf_add(b, p, n);
	return place;
}

static uint64_t put_word(struct vcr_buf *b, uint64_t base, const char *s)
{
	uint64_t place = base + b->len;
	vcr_buf_add(b, s, strlen(s) + 1);
	return place;
}

static uint64_t put_findings(struct vcr_buf *b, uint64_t base, const struct vcr_findings *f)
{
	VCR_AUTO_BUF all = VCR_BUF_INIT;
	for (size_t i = 0; i < f->n; i++) {
		const struct vcr_finding *x = &f->item[i];
		struct kept_finding k = { put_word(b, base, x->path), put_word(b, base, x->function), put_word(b, base, x->message), x->measured, x->threshold, x->rule, x->severity,
			x->start_line, x->end_line };
		vcr_buf_add(&all, &k, sizeof k);
	}
	b->err = all.err ? all.err : b->err;
	return f->n ? put(b, base, all.data, all.len) : 0;
}

static void put_file(struct vcr_buf *b, uint64_t base, const struct vcr_scanned_file *f, int64_t now_ns, struct vcr_buf *files)
{
	VCR_AUTO_BUF functions = VCR_BUF_INIT;
	struct kept_file k = { .id = f->id, .path = put_word(b, base, f->path), .skipped = f->skipped ? put_word(b, base, f->skipped) : 0, .language = (uint32_t)f->language,
		.lines = f->lines, .nfunction = (uint32_t)f->nfunction, .nfinding = (uint32_t)f->findings.n, .ntoken = (uint32_t)f->ntoken, .is_broken = f->is_broken };
	if (f->id.mtime_ns > now_ns - settled_ns || f->id.ctime_ns > now_ns - settled_ns)
		k.id.size = -1; /* it may change again and look the same */
	for (size_t i = 0; i < f->nfunction; i++) {
		const struct vcr_scanned_function *x = &f->function[i];
		struct kept_function kept = { put_word(b, base, x->name), x->body, x->body_renamed, x->start_line, x->end_line, x->start_byte, x->end_byte, x->parameters, x->cyclomatic,
			x->cognitive, x->nesting, x->length, x->tokens, x->plain, x->is_broken };
		vcr_buf_add(&functions, &kept, sizeof kept);
	}
	k.function = f->nfunction ? put(b, base, functions.data, functions.len) : 0;
	k.finding = put_findings(b, base, &f->findings);
	k.token = f->ntoken ? put(b, base, f->token, f->ntoken * sizeof *f->token) : 0;
	vcr_buf_add(files, &k, sizeof k);
	b->err = functions.err ? functions.err : b->err;
}

static int write_all(const char *path, const struct vcr_buf *const part[], size_t n, struct vcr_error *e)
{
	VCR_AUTO_BUF tmp = VCR_BUF_INIT;
	vcr_buf_printf(&tmp, "%s.XXXXXX", path);
	int fd = mkostemp(tmp.data, O_CLOEXEC), err = 0;
	if (fd < 0)
		return vcr_error_sys(e, errno, "%s", path);
	for (size_t i = 0; i < n && !err; i++)
		for (size_t done = 0; done < part[i]->len && !err;) {
			ssize_t k = write(fd, part[i]->data + done, part[i]->len - done);
			if (k < 0 && errno != EINTR)
				err = vcr_error_sys(e, errno, "%s", path);
			done += k > 0 ? (size_t)k : 0;
		}
	close(fd);
	if (!err && rename(tmp.data, path))
		err = vcr_error_sys(e, errno, "%s", path);
	if (err)
		unlink(tmp.data);
	return err;
}

/* A file whose grammar was missing is looked at again. */
static bool is_kept(const struct vcr_scanned *s, const struct vcr_scanned_file *f)
{
	return f->id.size > 0 && !(f->language >= 0 && s->absent >> f->language & 1);
}

int vcr_scan_cache_write(const char *path, uint64_t key, const struct vcr_scanned *s, struct vcr_error *e)
{
	VCR_AUTO_BUF head = VCR_BUF_INIT, files = VCR_BUF_INIT, rest = VCR_BUF_INIT;
	struct vcr_cache_head h = { .key = key };
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	h.written_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	memcpy(h.magic, magic, sizeof magic);
	for (size_t i = 0; i < s->n; i++)
		h.nfile += is_kept(s, &s->file[i]);
	uint64_t base = sizeof h + h.nfile * sizeof(struct kept_file);
	for (size_t i = 0; i < s->n; i++)
		if (is_kept(s, &s->file[i]))
			put_file(&rest, base, &s->file[i], h.written_ns, &files);
	h.nacross = (uint32_t)s->across.n;
	h.across = put_findings(&rest, base, &s->across);
	vcr_buf_putc(&rest, 0);
	h.size = base + rest.len;
	vcr_buf_add(&head, &h, sizeof h);
	if (head.err || files.err || rest.err)
		return vcr_error_set(e, VCR_ENOMEM, "no memory");
	const struct vcr_buf *const part[] = { &head, &files, &rest };
	return write_all(path, part, 3, e);
}
