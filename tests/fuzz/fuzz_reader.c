/* The input is a session file. It is read whole, and again as it grows; its lines are also given to the scanner one by one. */
#include "fuzz.h"
#include "reader.h"
#include "scan.h"
#include "limits.h"
#include <fcntl.h>
#include <unistd.h>

struct warned { int64_t n, lines; };

static void on_warning(void *ctx, const char *path, int64_t line, const char *what)
{
	struct warned *w = ctx;
	w->n++;
	FUZZ_CHECK(*path && *what && line >= 1 && line <= w->lines);
}

static int on_line(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	size_t n;
	vcr_json_raw(j, data, &n);
	return 0;
}

static void read_bodies(struct vcr_reader *r, const char *p, size_t n)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	for (const char *at = p; (at = memmem(at, n - (size_t)(at - p), "\"ref\":\"", 7));) {
		struct fuzz_in in = { at + 7, n - (size_t)(at + 7 - p) };
		VCR_AUTO_BUF ref = fuzz_until(&in, '"');
		struct vcr_error e = { 0 };
		vcr_buf_reset(&out);
		FUZZ_CHECK(!vcr_reader_body(r, ref.data, &out, &e) || *e.what);
		at += 7;
	}
}

static void read_frame(struct vcr_reader *r, int64_t i, int64_t lines)
{
	struct vcr_reader_frame f;
	struct vcr_error e = { 0 };
	VCR_AUTO_BUF full = VCR_BUF_INIT;
	if (vcr_reader_frame(r, i, &f, &e)) {
		FUZZ_CHECK(strstr(e.what, ".vcr"));
		return;
	}
	FUZZ_CHECK(f.index == i && f.line >= 1 && f.line <= lines && f.j && f.type && f.node_name && f.frame_id);
	char id[64];
	snprintf(id, sizeof id, "%s", f.frame_id);
	int64_t found = vcr_reader_by_id(r, id);
	FUZZ_CHECK(found >= -1 && found < vcr_reader_count(r));
	if (!vcr_reader_full_input(r, i, &full, &e))
		FUZZ_CHECK(fuzz_valid_json(&full, VCR_JSON_RELAXED));
}

static void read_all(struct vcr_reader *r, const char *p, size_t n, int64_t lines)
{
	const struct vcr_reader_session *s = vcr_reader_session(r);
	static const char *const names[] = { "start", "end", "call:0", "call:99999999999999999999", "@2026-01-01T00:00:00", "@12:00", "-1", "18446744073709551615" };
	FUZZ_CHECK(s->session_id && s->ntags >= 0 && s->metadata_json);
	int64_t count = vcr_reader_count(r), index;
	FUZZ_CHECK(count <= lines);
	for (int64_t i = 0; i < count && i < 64; i++)
		read_frame(r, i, lines);
	for (int64_t i = count; i-- > 0 && count - i < 16;)
		read_frame(r, i, lines);
	FUZZ_CHECK(vcr_reader_frame(r, count, &(struct vcr_reader_frame){ 0 }, NULL) && vcr_reader_frame(r, -1, &(struct vcr_reader_frame){ 0 }, NULL));
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!vcr_reader_resolve(r, names[i], &index, NULL))
			FUZZ_CHECK(index >= 0 && index < count);
	vcr_reader_each(r, "vcr.end", on_line, NULL, NULL);
	vcr_reader_each(r, "vcr.body", on_line, NULL, NULL);
	read_bodies(r, p, n);
}

/* Frames of the file at path, -1 if it does not open. */
static int64_t read_whole(const char *path, const char *p, size_t n, int64_t lines, int64_t *warnings)
{
	struct vcr_reader *r;
	struct vcr_error e = { 0 };
	struct warned w = { 0, lines };
	if (vcr_reader_open(&r, path, on_warning, &w, &e)) {
		FUZZ_CHECK(*e.what);
		return -1;
	}
	int64_t count = vcr_reader_count(r);
	*warnings = w.n;
	read_all(r, p, n, lines);
	vcr_reader_free(r);
	return count;
}

/* The same, opened when only `first` bytes were there. */
static int64_t read_growing(const char *p, size_t n, size_t first, int64_t lines)
{
	struct vcr_reader *r;
	struct vcr_error e = { 0 };
	struct warned w = { 0, lines };
	const char *path = fuzz_file("grows.vcr", p, first);
	if (vcr_reader_open(&r, path, on_warning, &w, &e))
		return -1;
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	FUZZ_CHECK(write(fd, p + first, n - first) == (ssize_t)(n - first));
	close(fd);
	FUZZ_CHECK(vcr_reader_refresh(r, &e) >= 0 || *e.what);
	int64_t count = vcr_reader_count(r);
	vcr_reader_free(r);
	return count;
}

static void scan(const char *p, size_t n)
{
	struct vcr_line l;
	struct vcr_span m;
	int64_t ns;
	double d;
	char *line = fuzz_exact(p, n);
	vcr_scan_line(line, n, &l);
	FUZZ_CHECK(l.kind != VCR_LINE_BAD || l.error_at <= n);
	const struct vcr_span *spans = &l.type;
	for (int i = 0; i < 6; i++)
		FUZZ_CHECK(!spans[i].p || (spans[i].p >= line && spans[i].p + spans[i].n <= line + n));
	if (l.timestamp.p)
		vcr_scan_time(l.timestamp.p, l.timestamp.n, &ns);
	if (l.kind == VCR_LINE_FRAME && vcr_scan_metadata(line, n, &m)) {
		FUZZ_CHECK(m.p >= line && m.p + m.n <= line + n);
		vcr_scan_number(&m, "tokens_used", &d);
		vcr_scan_number(&m, "cost_usd", &d);
	}
	vcr_scan_time(line, n, &ns);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	int64_t lines = 1, warnings = 0;
	for (size_t at = 0; at < size;) {
		const char *nl = memchr(p + at, '\n', size - at);
		size_t end = nl ? (size_t)(nl - p) : size;
		scan(p + at, end - at);
		lines += nl != NULL;
		at = end + 1;
	}
	int64_t whole = read_whole(fuzz_file("whole.vcr", data, size), p, size, lines, &warnings);
	if (whole < 0)
		return 0;
	int64_t grown = read_growing(p, size, size * 2 / 3, lines);
	FUZZ_CHECK(grown < 0 || grown == whole);
	return 0;
}
