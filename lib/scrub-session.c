/* scrub-session.c — a session written anew without what rules name: first everything is looked at, so that what is named anywhere is known, then each line is
 * written, in order. A body is encoded against what the body that it was encoded against has become, so the file grows with new text only, as before. */
#include "scrub-parts.h"
#include "body.h"
#include "canon.h"
#include "limits.h"
#include "scan.h"
#include "verify.h"
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_NUMBER = 100000 /* the recorder numbers up to 65536 */, MADE = 16, MADE_BYTES = 64 << 20, OUT_STEP = 1 << 20 };

/* What a body has become, for those that are encoded against it. */
struct made { char old[48]; struct vcr_buf text; uint64_t used; bool changed; };

struct session {
	struct vcr_scrub_run run;
	const char *path;
	void *by_old, *by_new;       /* trees of struct vcr_scrub_body, tsearch(3) */
	struct made made[MADE];
	uint64_t tick;
	struct vcr_buf out;
	int64_t *frame_at;           /* frame indexes in order of their lines */
	int64_t nframe, next_frame;
	struct vcr_error *e;
	int64_t scrubs;              /* vcr.scrub lines that are there already */
};

static struct session *session_of(const struct vcr_scrub_run *x)
{
	return (struct session *)(void *)(uintptr_t)x; /* its first member */
}

/* ---- Bodies ---- */

static int by_old(const void *a, const void *b)
{
	return strcmp(((const struct vcr_scrub_body *)a)->old, ((const struct vcr_scrub_body *)b)->old);
}

static int by_new(const void *a, const void *b)
{
	return strcmp(((const struct vcr_scrub_body *)a)->new, ((const struct vcr_scrub_body *)b)->new);
}

struct vcr_scrub_body *vcr_scrub_find_body(const struct vcr_scrub_run *x, const char *ref)
{
	struct vcr_scrub_body key = { .known = false };
	if (!ref || strlen(ref) >= sizeof key.old)
		return NULL;
	strcpy(key.old, ref);
	struct vcr_scrub_body **found = tfind(&key, &session_of(x)->by_old, by_old);
	return found ? *found : NULL;
}

static int count_body(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	struct session *s = ctx;
	char *ref = vcr_json_strdup(j, vcr_json_get(j, data, "ref"));
	int err = ref && strlen(ref) < 40 ? 0 : vcr_error_set(s->e, VCR_ECORRUPT, "line %lld: a body without a name", (long long)line);
	struct vcr_scrub_body *b = err || vcr_scrub_find_body(&s->run, ref) ? NULL : calloc(1, sizeof *b);
	if (b) {
		strcpy(b->old, ref);
		strcpy(b->new, ref);
		if (!tsearch(b, &s->by_old, by_old))
			err = VCR_ENOMEM;
	} else if (!err && !vcr_scrub_find_body(&s->run, ref)) {
		err = VCR_ENOMEM;
	}
	free(ref);
	return err;
}

/* Whose traffic a body is. One that several exchanges share is the one's at which the rules look. */
static void aim_body(struct session *s, const struct vcr_json *j, int v)
{
	static const char *const keys[] = { "request", "response" };
	char *host = vcr_json_strdup(j, vcr_json_get(j, v, "host"));
	for (size_t i = 0; i < 2; i++) {
		char *ref = vcr_json_strdup(j, vcr_json_get(j, v, keys[i]));
		struct vcr_scrub_body *b = vcr_scrub_find_body(&s->run, ref);
		if (b && host && (!b->host || vcr_rules_take_host(s->run.s->rules, host))) {
			free(b->host);
			b->host = strdup(host);
		}
		free(ref);
	}
	free(host);
}

static int aim_line(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	aim_body(ctx, j, data);
	return 0;
}

static int make(struct session *s, const struct vcr_scrub_body *b, struct vcr_buf *out, bool *changed)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int err = vcr_reader_body(s->run.r, b->old, &text, s->e);
	if (!err)
		err = vcr_scrub_text(s->run.s, b->host, text.data, text.len, out);
	*changed = err || out->len != text.len || memcmp(out->data, text.data, text.len);
	return err;
}

/* Room for one more; those that were asked for last, which may be in use, stay. */
static struct made *make_room(struct session *s)
{
	for (;;) {
		struct made *oldest = NULL, *free_one = NULL;
		size_t bytes = 0;
		for (size_t i = 0; i < MADE; i++) {
			struct made *m = &s->made[i];
			bytes += m->text.cap;
			if (!*m->old)
				free_one = m;
			else if (m->used + 2 < s->tick && (!oldest || m->used < oldest->used))
				oldest = m;
		}
		if (free_one && (bytes < MADE_BYTES || !oldest))
			return free_one;
		oldest->old[0] = 0;
		vcr_buf_release(&oldest->text);
	}
}

/* The text of a body as it is now; it stays where it is until two others were asked for. */
static int made_of(struct session *s, const struct vcr_scrub_body *b, const struct made **out)
{
	for (size_t i = 0; i < MADE; i++)
		if (!strcmp(s->made[i].old, b->old)) {
			s->made[i].used = ++s->tick;
			*out = &s->made[i];
			return 0;
		}
	struct made *m = make_room(s);
	int err = make(s, b, &m->text, &m->changed);
	if (err) {
		vcr_buf_release(&m->text);
		return err;
	}
	strcpy(m->old, b->old);
	m->used = ++s->tick;
	*out = m;
	return 0;
}

int vcr_scrub_make_body(struct vcr_scrub_run *x, const struct vcr_scrub_body *b, struct vcr_buf *out, struct vcr_error *e)
{
	const struct made *m;
	int err = made_of(session_of(x), b, &m);
	return err ? err : vcr_buf_add(out, m->text.data, m->text.len);
}

/* ---- Lines ---- */

static int flush(struct session *s)
{
	for (size_t done = 0; done < s->out.len;) {
		ssize_t n = write(s->run.fd, s->out.data + done, s->out.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return vcr_error_sys(s->e, n < 0 ? errno : ENOSPC, "the new file cannot be written");
		done += (size_t)n;
	}
	vcr_buf_reset(&s->out);
	return 0;
}

static int put_line(struct session *s, const char *p, size_t n)
{
	vcr_buf_add(&s->out, p, n);
	vcr_buf_putc(&s->out, '\n');
	if (s->out.err || EVP_DigestUpdate(s->run.chain, p, n) != 1 || EVP_DigestUpdate(s->run.chain, "\n", 1) != 1)
		return vcr_error_set(s->e, VCR_ENOMEM, "no memory");
	s->run.written += n + 1;
	return s->out.len > OUT_STEP ? flush(s) : 0;
}

static int put_changed(struct session *s, const struct vcr_buf *line)
{
	s->run.done->lines++;
	return line->err ? vcr_error_set(s->e, line->err, "%s", vcr_strerror(line->err)) : put_line(s, line->data, line->len);
}

static void begin(struct vcr_buf *out, const char *type)
{
	vcr_buf_printf(out, "{\"type\":\"%s\",\"data\":", type);
}

/* What the line that says `key` names; NULL if it names none that is known. */
static struct vcr_scrub_body *named(struct session *s, const struct vcr_json *j, int data, const char *key)
{
	char *ref = vcr_json_strdup(j, vcr_json_get(j, data, key));
	struct vcr_scrub_body *b = vcr_scrub_find_body(&s->run, ref);
	free(ref);
	return b;
}

static int encode(struct session *s, const struct vcr_scrub_body *b, const struct vcr_scrub_body *base, const struct vcr_scrub_body *near)
{
	const struct made *base_text = NULL, *near_text = NULL, *text;
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	struct vcr_jw w;
	int err = base ? made_of(s, base, &base_text) : 0;
	if (!err && near)
		err = made_of(s, near, &near_text);
	if (!err)
		err = made_of(s, b, &text);
	if (err)
		return err;
	struct vcr_near beside = { near ? near->new : NULL, near ? near_text->text.data : NULL, near ? near_text->text.len : 0 };
	vcr_jw_init(&w, &line);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "type");
	vcr_jw_str(&w, "vcr.body");
	vcr_jw_key(&w, "data");
	vcr_jw_object(&w);
	vcr_jw_key(&w, "ref");
	vcr_jw_str(&w, b->new);
	err = vcr_body_encode(&w, text->text.data, text->text.len, NULL, base ? base_text->text.data : NULL, base ? base_text->text.len : 0, base ? base->new : NULL, near ? &beside : NULL, false, NULL, s->e);
	if (err < 0)
		return err;
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	return put_changed(s, &line);
}

static int body_line(struct session *s, const struct vcr_json *j, int data, const char *p, size_t n)
{
	struct vcr_scrub_body *b = named(s, j, data, "ref"), *base = named(s, j, data, "base"), *near = named(s, j, data, "near");
	const struct made *m;
	char hex[VCR_KEY_LEN];
	if (!b || b->known)
		return 0; /* a second one of that name is nobody's */
	int err = made_of(s, b, &m);
	if (err)
		return err;
	b->known = true;
	b->changed = m->changed;
	if (b->changed) {
		vcr_sha256_hex(m->text.data, m->text.len, hex);
		snprintf(b->new, sizeof b->new, "%.16s", hex);
	}
	struct vcr_scrub_body **same = tsearch(b, &s->by_new, by_new);
	if (!same)
		return vcr_error_set(s->e, VCR_ENOMEM, "no memory");
	s->run.done->bodies += b->changed;
	if (*same != b)
		return 0; /* two that differed in what is gone now */
	s->run.bodies++;
	if (!b->changed && !(base && base->changed) && !(near && near->changed))
		return put_line(s, p, n);
	return encode(s, b, base, near);
}

/* The hash of what stands before it, and how much that is. */
static int end_line(struct session *s, const struct vcr_json *j, int data)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	if (!copy || EVP_MD_CTX_copy_ex(copy, s->run.chain) != 1 || EVP_DigestFinal_ex(copy, sum, &n) != 1)
		n = 0;
	EVP_MD_CTX_free(copy);
	if (!n)
		return vcr_error_set(s->e, VCR_ENOMEM, "no memory");
	begin(&line, "vcr.end");
	bool any = false;
	vcr_scrub_aim(s->run.s, NULL);
	for (int m = vcr_json_first(j, data); m >= 0 && vcr_json_type(j, data) == VCR_JSON_OBJECT; m = vcr_json_next(j, m)) {
		size_t nk, nv;
		const char *key = vcr_json_raw(j, m, &nk), *value = vcr_json_raw(j, vcr_json_value(j, m), &nv);
		vcr_buf_printf(&line, "%s%.*s:", any ? "," : "{", (int)nk, key);
		any = true;
		if (vcr_json_is(j, m, "sha256")) {
			vcr_buf_putc(&line, '"');
			vcr_buf_hex(&line, sum, n);
			vcr_buf_putc(&line, '"');
		} else if (vcr_json_is(j, m, "bytes"))
			vcr_buf_printf(&line, "%llu", (unsigned long long)s->run.written);
		else if (vcr_json_is(j, m, "bodies"))
			vcr_buf_printf(&line, "%lld", (long long)s->run.bodies);
		else if (vcr_json_type(j, vcr_json_value(j, m)) == VCR_JSON_NUMBER)
			vcr_buf_add(&line, value, nv);
		else
			vcr_scrub_value(s->run.s, j, vcr_json_value(j, m), &line);
	}
	vcr_buf_puts(&line, any ? "}}" : "{}}");
	return put_changed(s, &line);
}

/* A line in which nothing but its texts matters. */
static int other_line(struct session *s, const struct vcr_json *j, const char *p, size_t n)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	unsigned before = s->run.s->replaced;
	vcr_scrub_aim(s->run.s, NULL);
	int type = vcr_json_get(j, 0, "type");
	size_t k;
	const char *word = vcr_json_raw(j, type, &k);
	vcr_buf_printf(&line, "{\"type\":%.*s,\"data\":", (int)k, word);
	int err = vcr_scrub_value(s->run.s, j, vcr_json_get(j, 0, "data"), &line);
	vcr_buf_putc(&line, '}');
	if (err || !s->run.writing)
		return err;
	return s->run.s->replaced == before ? put_line(s, p, n) : put_changed(s, &line);
}

static int exchange_line(struct session *s, const struct vcr_json *j, int data, const char *p, size_t n)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	begin(&line, "vcr.http");
	int changed = vcr_scrub_exchange(&s->run, j, data, &line, s->e);
	vcr_buf_putc(&line, '}');
	if (changed < 0 || !s->run.writing)
		return changed < 0 ? changed : 0;
	return changed ? put_changed(s, &line) : put_line(s, p, n);
}

/* Ids and times are no texts. */
static int session_line(struct session *s, const struct vcr_json *j, int data, const char *p, size_t n)
{
	static const char *const walked[] = { "metadata", "tags" };
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	unsigned before = s->run.s->replaced;
	int err = 0;
	vcr_scrub_aim(s->run.s, NULL);
	begin(&line, "session");
	bool any = false;
	for (int m = vcr_json_first(j, data); m >= 0 && !err && vcr_json_type(j, data) == VCR_JSON_OBJECT; m = vcr_json_next(j, m)) {
		size_t nk, nv;
		const char *key = vcr_json_raw(j, m, &nk), *value = vcr_json_raw(j, vcr_json_value(j, m), &nv);
		vcr_buf_printf(&line, "%s%.*s:", any ? "," : "{", (int)nk, key);
		any = true;
		if (vcr_json_is(j, m, walked[0]) || vcr_json_is(j, m, walked[1]))
			err = vcr_scrub_value(s->run.s, j, vcr_json_value(j, m), &line);
		else
			vcr_buf_add(&line, value, nv);
	}
	vcr_buf_puts(&line, any ? "}}" : "{}}");
	if (err || !s->run.writing)
		return err;
	return s->run.s->replaced == before ? put_line(s, p, n) : put_changed(s, &line);
}

static int rules_line(struct session *s)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	begin(&line, "vcr.scrub");
	vcr_rules_write(s->run.s->rules, &line);
	vcr_buf_putc(&line, '}');
	return put_changed(s, &line);
}

static int frame_line(struct session *s, const char *p, size_t n, int64_t line_number)
{
	VCR_AUTO_BUF line = VCR_BUF_INIT;
	while (s->next_frame < s->nframe && vcr_reader_brief(s->run.r, s->frame_at[s->next_frame]).line < line_number)
		s->next_frame++;
	if (s->next_frame >= s->nframe || vcr_reader_brief(s->run.r, s->frame_at[s->next_frame]).line != line_number)
		return vcr_error_set(s->e, VCR_ECORRUPT, "line %lld: a frame that was not there before", (long long)line_number);
	begin(&line, "frame");
	int changed = vcr_scrub_frame(&s->run, s->frame_at[s->next_frame], &line, s->e);
	vcr_buf_putc(&line, '}');
	if (changed < 0 || !s->run.writing)
		return changed < 0 ? changed : 0;
	return changed ? put_changed(s, &line) : put_line(s, p, n);
}

static int one_line(struct session *s, const char *p, size_t n, int64_t number)
{
	struct vcr_line l;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_scan_line(p, n, &l);
	if (l.kind == VCR_LINE_BLANK)
		return 0;
	if (l.kind == VCR_LINE_FRAME)
		return frame_line(s, p, n, number);
	int err = vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, s->e);
	if (err)
		return err;
	int data = vcr_json_get(&j, 0, "data"), type = vcr_json_get(&j, 0, "type");
	if (l.kind == VCR_LINE_SESSION) {
		err = session_line(s, &j, data, p, n);
		if (!err && s->run.writing && !s->scrubs++)
			err = rules_line(s);
		return err;
	}
	if (vcr_json_is(&j, type, "vcr.http"))
		return exchange_line(s, &j, data, p, n);
	if (vcr_json_is(&j, type, "vcr.body") && s->run.writing)
		return body_line(s, &j, data, p, n);
	if (vcr_json_is(&j, type, "vcr.body")) {
		struct vcr_scrub_body *b = named(s, &j, data, "ref");
		VCR_AUTO_BUF text = VCR_BUF_INIT;
		return b ? make(s, b, &text, &b->changed) : 0;
	}
	if (vcr_json_is(&j, type, "vcr.end") && s->run.writing)
		return end_line(s, &j, data);
	if (vcr_json_is(&j, type, "vcr.scrub"))
		return s->run.writing ? put_line(s, p, n) : 0;
	return other_line(s, &j, p, n);
}

static int each_line(struct session *s)
{
	FILE *f = fopen(s->path, "re");
	char *line = NULL;
	size_t room = 0;
	int err = f ? 0 : vcr_error_sys(s->e, errno, "%s", s->path);
	ssize_t n = 0;
	s->next_frame = 0;
	for (int64_t number = 1; !err && (n = getline(&line, &room, f)) > 0; number++) { /* longer ones than VCR_MAX_LINE were refused before */
		while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		size_t bom = number == 1 && n >= 3 && !memcmp(line, "\xef\xbb\xbf", 3) ? 3 : 0;
		err = one_line(s, line + bom, (size_t)n - bom, number);
		if (!err && vcr_rules_gave_up(s->run.s->rules))
			err = vcr_error_set(s->e, VCR_ELIMIT, "line %lld: pattern %d takes too long on its text; nothing is changed", (long long)number, vcr_rules_gave_up(s->run.s->rules));
		if (err && s->e && !s->e->code)
			vcr_error_set(s->e, err, "%s:%lld: %s", s->path, (long long)number, vcr_strerror(err));
	}
	free(line);
	if (f)
		fclose(f);
	return err;
}

/* ---- The whole ---- */

static void note_fault(void *ctx, const char *path, int64_t line, const char *what)
{
	struct vcr_error *e = ctx;
	if (!e->code)
		vcr_error_set(e, VCR_ECORRUPT, "%s:%lld: %s", path, (long long)line, what);
}

/* What does not hold what it says is not written anew. */
static int check(struct vcr_reader *r, struct vcr_error *e)
{
	struct vcr_verified v;
	struct vcr_error first = { 0 };
	int err = vcr_verify(r, note_fault, &first, &v, e);
	if (err)
		return err;
	if (v.faults)
		return vcr_error_set(e, VCR_ECORRUPT, "%s", first.what);
	return vcr_reader_header(r)->warnings ? vcr_error_set(e, VCR_ECORRUPT, "the session has damaged lines; vcr-export leaves them out") : 0;
}

static int by_line(const void *a, const void *b, void *r)
{
	int64_t x = vcr_reader_brief(r, *(const int64_t *)a).line, y = vcr_reader_brief(r, *(const int64_t *)b).line;
	return (x > y) - (x < y);
}

static int prepare(struct session *s)
{
	s->nframe = vcr_reader_count(s->run.r);
	s->frame_at = calloc((size_t)s->nframe + 1, sizeof *s->frame_at);
	if (!s->frame_at)
		return vcr_error_set(s->e, VCR_ENOMEM, "no memory");
	for (int64_t i = 0; i < s->nframe; i++)
		s->frame_at[i] = i;
	qsort_r(s->frame_at, (size_t)s->nframe, sizeof *s->frame_at, by_line, s->run.r);
	int err = vcr_reader_each(s->run.r, "vcr.body", count_body, s, s->e);
	if (!err)
		err = vcr_reader_each(s->run.r, "vcr.http", aim_line, s, s->e);
	for (int64_t i = 0; i < s->nframe && !err; i++) {
		struct vcr_reader_frame f;
		if (vcr_reader_brief(s->run.r, i).call && !(err = vcr_reader_frame(s->run.r, i, &f, s->e)) && f.vcr >= 0)
			aim_body(s, f.j, f.vcr);
	}
	return err;
}

static int count_scrub(void *n, const struct vcr_json *j, int data, int64_t line)
{
	++*(int64_t *)n;
	return 0;
}

static void free_body(void *body)
{
	struct vcr_scrub_body *b = body;
	free(b->host);
	free(b);
}

static void leave(void *nothing) { }

static void release(struct session *s)
{
	tdestroy(s->by_new, leave);
	tdestroy(s->by_old, free_body);
	for (size_t i = 0; i < MADE; i++)
		vcr_buf_release(&s->made[i].text);
	vcr_buf_release(&s->out);
	vcr_buf_release(&s->run.dropped);
	free(s->frame_at);
	EVP_MD_CTX_free(s->run.chain);
	vcr_scrub_free(s->run.s);
	free(s);
}

int vcr_scrub_session(struct vcr_reader *r, const char *path, struct vcr_rules *rules, int fd, struct vcr_scrubbed *done, struct vcr_error *e)
{
	int64_t before = 0;
	struct session *s = calloc(1, sizeof *s);
	int err = s ? vcr_reader_each(r, "vcr.scrub", count_scrub, &before, e) : vcr_error_set(e, VCR_ENOMEM, "no memory");
	if (!err && before >= VCR_MAX_SCRUBS)
		err = vcr_error_set(e, VCR_ELIMIT, "it has been scrubbed %lld times; no more than %d are kept", (long long)before, VCR_MAX_SCRUBS);
	if (err) {
		free(s);
		vcr_rules_free(rules);
		return err;
	}
	*done = (struct vcr_scrubbed){ 0 };
	s->run.r = r;
	s->run.fd = fd;
	s->run.done = done;
	s->path = path;
	s->e = e;
	vcr_buf_init(&s->out, 0);
	vcr_buf_init(&s->run.dropped, 0);
	for (size_t i = 0; i < MADE; i++)
		vcr_buf_init(&s->made[i].text, 0);
	s->run.chain = EVP_MD_CTX_new();
	s->run.s = vcr_scrub_new(rules, FIRST_NUMBER * ((size_t)before + 1) + 1);
	if (!s->run.chain || !s->run.s || EVP_DigestInit_ex(s->run.chain, EVP_sha256(), NULL) != 1)
		err = vcr_error_set(e, VCR_ENOMEM, "no memory");
	if (!err)
		err = check(r, e);
	if (!err)
		err = prepare(s);
	if (!err)
		err = each_line(s);
	s->run.writing = true;
	if (!err)
		err = each_line(s);
	if (!err)
		err = flush(s);
	done->values = s->run.s ? (int64_t)vcr_scrub_known(s->run.s) : 0;
	release(s);
	return err;
}
