#include "http1.h"
#include "buf.h"
#include "limits.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum state { START, HEAD, BODY_LENGTH, BODY_EOF, CHUNK_SIZE, CHUNK_DATA, CHUNK_CRLF, TRAILER, TUNNEL, FAILED };
enum { MAX_EXPECTED = 1024, METHOD = 8 };

struct vcr_http1 {
	enum vcr_http1_role role;
	struct vcr_http1_events ev;
	void *ctx;
	enum state state;
	struct vcr_buf lines;    /* the head or the trailer, as received, up to its empty line */
	size_t line_from;        /* where the line being received begins in `lines` */
	uint64_t left;           /* bytes of the body or chunk that are to come */
	uint64_t fed;
	int err;
	const char *why;
	unsigned first, count;   /* of expected */
	struct vcr_http1_field field[VCR_MAX_HTTP_FIELDS];
	char expected[MAX_EXPECTED][METHOD]; /* ring of methods whose responses are outstanding */
};

struct vcr_http1 *vcr_http1_new(enum vcr_http1_role role, const struct vcr_http1_events *ev, void *ctx)
{
	struct vcr_http1 *h = malloc(sizeof *h);
	if (!h)
		return NULL;
	memset(h, 0, offsetof(struct vcr_http1, field)); /* the two large tables are written before they are read */
	h->role = role;
	h->ev = *ev;
	h->ctx = ctx;
	vcr_buf_init(&h->lines, VCR_MAX_HTTP_HEAD);
	return h;
}

void vcr_http1_free(struct vcr_http1 *h)
{
	if (!h)
		return;
	vcr_buf_release(&h->lines);
	free(h);
}

int vcr_http1_expect(struct vcr_http1 *h, const char *method)
{
	if (h->count == MAX_EXPECTED)
		return VCR_ELIMIT;
	char *slot = h->expected[(h->first + h->count++) % MAX_EXPECTED];
	snprintf(slot, METHOD, "%s", method);
	return 0;
}

static int fail(struct vcr_http1 *h, int err, const char *why)
{
	h->state = FAILED;
	h->err = err;
	h->why = why;
	return err;
}

const char *vcr_http1_field(const struct vcr_http1_field *f, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcasecmp(f[i].name, name))
			return f[i].value;
	return NULL;
}

/* Does a comma-separated list hold the token? */
static bool list_has(const char *list, const char *token)
{
	size_t want = strlen(token);
	while (list && *list) {
		list += strspn(list, " \t,");
		size_t n = strcspn(list, " \t,;");
		if (n == want && !strncasecmp(list, token, n))
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

/* ---- Heads and trailers: lines are cut in place. ---- */

/* A folded line [line,end) goes on with the value that ends at tail: the NULs that we wrote between them become spaces. Returns the value's new end.
 * A blank one changes nothing, so however many there are each byte is written once. */
static char *join_fold(char *tail, char *line, char *end)
{
	while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	if (end == line)
		return tail;
	memset(tail, ' ', (size_t)(line - tail));
	*end = 0;
	return end;
}

/* Split the lines from `from` on into fields; obsolete folding is joined (RFC 9112 §5.2). Returns their number or an error. */
static int split_fields(struct vcr_http1 *h, char *p, const char **why)
{
	int n = 0;
	char *tail = NULL; /* where the last value ends */
	while (*p) {
		char *line = p;
		p += strlen(p) + 1;
		if (*line == ' ' || *line == '\t') {
			if (!tail)
				goto bad;
			tail = join_fold(tail, line, p - 1);
			h->field[n - 1].value += strspn(h->field[n - 1].value, " \t"); /* it was empty so far */
			continue;
		}
		char *colon = strchr(line, ':');
		if (!colon || colon == line || n == VCR_MAX_HTTP_FIELDS)
			goto bad;
		char *end = colon;
		while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		*end = 0;
		char *value = colon + 1 + strspn(colon + 1, " \t");
		end = value + strlen(value);
		while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
			*--end = 0;
		if (!*line || strpbrk(line, " \t"))
			goto bad;
		h->field[n++] = (struct vcr_http1_field){ line, value };
		tail = end;
	}
	return n;
bad:
	*why = "malformed header field";
	return VCR_ESYNTAX;
}

static bool parse_length(const char *s, int64_t *out)
{
	/* "5, 5" is one length said twice (RFC 9112 §6.3) */
	int64_t v = -1;
	for (const char *p = s; *p;) {
		p += strspn(p, " \t,");
		size_t n = strspn(p, "0123456789");
		if (!n || n > 15 || (p[n] && !strchr(" \t,", p[n])))
			return false;
		int64_t one = strtoll(p, NULL, 10);
		if (v >= 0 && one != v)
			return false;
		v = one;
		p += n;
		p += strspn(p, " \t,");
	}
	*out = v;
	return v >= 0;
}

static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("!#$%&'*+-.^_`|~", *s)))
			return false;
	return true;
}

static bool parse_version(const char *s, int *minor)
{
	if (strncmp(s, "HTTP/1.", 7) || s[7] < '0' || s[7] > '9' || (s[8] && s[8] != ' '))
		return false;
	*minor = s[7] - '0';
	return true;
}

static bool parse_start_line(struct vcr_http1 *h, char *line, struct vcr_http1_head *head)
{
	if (h->role == VCR_HTTP1_RESPONSE) {
		if (!parse_version(line, &head->minor) || line[8] != ' ')
			return false;
		char *p = line + 9;
		if (strspn(p, "0123456789") != 3 || (p[3] && p[3] != ' '))
			return false;
		head->status = atoi(p);
		head->reason = p[3] ? p + 4 : "";
		return head->status >= 100;
	}
	char *target = strchr(line, ' '), *version = target ? strrchr(line, ' ') : NULL;
	if (!target || version == target || !parse_version(version + 1, &head->minor))
		return false;
	*target++ = 0;
	*version = 0;
	head->method = line;
	head->target = target;
	return is_token(line) && *target;
}

/* What follows the head (RFC 9112 §6.3). Transfer-Encoding overrides Content-Length. */
static void frame_body(struct vcr_http1 *h, const struct vcr_http1_head *head, const char *method)
{
	bool response = h->role == VCR_HTTP1_RESPONSE;
	if (head->upgrade)
		h->state = TUNNEL;
	else if (response && (head->status < 200 || head->status == 204 || head->status == 304 || !strcmp(method, "HEAD")))
		h->state = START;
	else if (head->chunked)
		h->state = CHUNK_SIZE;
	else if (head->content_length >= 0)
		h->state = head->content_length ? BODY_LENGTH : START;
	else
		h->state = response ? BODY_EOF : START;
	h->left = h->state == BODY_LENGTH ? (uint64_t)head->content_length : 0;
}

static int send_end(struct vcr_http1 *h, size_t nfield)
{
	return h->ev.end ? h->ev.end(h->ctx, h->field, nfield) : 0;
}

/* The lines of a head are complete: NUL-separated, an empty string last. */
static int take_head(struct vcr_http1 *h)
{
	struct vcr_http1_head head = { .content_length = -1, .field = h->field };
	const char *why = "malformed start line", *s;
	char *line = h->lines.data, method[METHOD] = "";
	size_t start = strlen(line);
	if (!parse_start_line(h, line, &head))
		return fail(h, VCR_ESYNTAX, why);
	int n = split_fields(h, line + start + 1, &why);
	if (n < 0)
		return fail(h, n, why);
	head.nfield = (size_t)n;
	if ((s = vcr_http1_field(h->field, head.nfield, "transfer-encoding")))
		head.chunked = list_has(s, "chunked");
	if ((s = vcr_http1_field(h->field, head.nfield, "content-length")) && !head.chunked && !parse_length(s, &head.content_length))
		return fail(h, VCR_ESYNTAX, "malformed Content-Length");
	s = vcr_http1_field(h->field, head.nfield, "connection");
	head.keep_alive = head.minor ? !list_has(s, "close") : list_has(s, "keep-alive");
	if (h->role == VCR_HTTP1_RESPONSE) {
		if (h->count)
			memcpy(method, h->expected[h->first], METHOD);
		head.upgrade = head.status == 101 || (!strcmp(method, "CONNECT") && head.status / 100 == 2);
		if (h->count && (head.status >= 200 || head.status == 101)) {
			memset(h->expected[h->first], 0, METHOD);
			h->first = (h->first + 1) % MAX_EXPECTED;
			h->count--;
		}
	}
	int err = h->ev.head ? h->ev.head(h->ctx, &head) : 0;
	frame_body(h, &head, method);
	bool informational = head.status && head.status < 200;
	if (!err && h->state == START && !informational)
		err = send_end(h, 0);
	vcr_buf_reset(&h->lines);
	h->line_from = 0;
	return err;
}

static int take_trailer(struct vcr_http1 *h)
{
	const char *why = "";
	int n = split_fields(h, h->lines.data, &why);
	if (n < 0)
		return fail(h, n, "malformed trailer");
	h->state = START;
	int err = send_end(h, (size_t)n);
	vcr_buf_reset(&h->lines);
	h->line_from = 0;
	return err;
}

/* Collect one line of a head or trailer into `lines`, its CRLF or LF replaced by NUL. *used: bytes of p taken. 1: a line is complete and is
 * empty; 0: go on; <0 error. */
static int collect_line(struct vcr_http1 *h, const char *p, size_t n, size_t *used)
{
	const char *lf = memchr(p, '\n', n);
	size_t k = lf ? (size_t)(lf - p) : n;
	*used = k + (lf != NULL);
	if (memchr(p, 0, k))
		return fail(h, VCR_ESYNTAX, "NUL in a header");
	if (vcr_buf_add(&h->lines, p, k))
		return fail(h, h->lines.err, "header too large");
	if (!lf)
		return 0;
	if (h->lines.len > h->line_from && h->lines.data[h->lines.len - 1] == '\r')
		vcr_buf_cut(&h->lines, h->lines.len - 1);
	bool empty = h->lines.len == h->line_from;
	if (vcr_buf_putc(&h->lines, 0))
		return fail(h, h->lines.err, "header too large");
	h->line_from = h->lines.len;
	return empty;
}

static int feed_head(struct vcr_http1 *h, const char *p, size_t n, size_t *used)
{
	int r = collect_line(h, p, n, used);
	if (r <= 0)
		return r;
	if (h->lines.len == 1) { /* empty lines before a start line are ignored (RFC 9112 §2.2) */
		vcr_buf_reset(&h->lines);
		h->line_from = 0;
		h->state = START;
		return 0;
	}
	return take_head(h);
}

static int feed_trailer(struct vcr_http1 *h, const char *p, size_t n, size_t *used)
{
	int r = collect_line(h, p, n, used);
	return r > 0 ? take_trailer(h) : r;
}

/* A chunk-size line: hex digits, then extensions that are ignored. */
static int feed_chunk_size(struct vcr_http1 *h, const char *p, size_t n, size_t *used)
{
	int r = collect_line(h, p, n, used);
	if (r < 0 || (!r && (!*used || p[*used - 1] != '\n')))
		return r < 0 ? r : h->lines.len > 4096 ? fail(h, VCR_ELIMIT, "chunk size line too long") : 0;
	const char *s = h->lines.data;
	size_t digits = strspn(s, "0123456789abcdefABCDEF");
	if (!digits || digits > 15 || (s[digits] && !strchr("; \t", s[digits])))
		return fail(h, VCR_ESYNTAX, "malformed chunk size");
	h->left = strtoull(s, NULL, 16);
	vcr_buf_reset(&h->lines);
	h->line_from = 0;
	h->state = h->left ? CHUNK_DATA : TRAILER;
	return 0;
}

static int feed_chunk_crlf(struct vcr_http1 *h, const char *p, size_t *used)
{
	*used = 1;
	if (*p == '\n')
		h->state = CHUNK_SIZE;
	else if (*p != '\r')
		return fail(h, VCR_ESYNTAX, "no line end behind a chunk");
	return 0;
}

static int feed_body(struct vcr_http1 *h, const char *p, size_t n, size_t *used)
{
	size_t k = h->state == BODY_EOF || h->left > n ? n : (size_t)h->left;
	*used = k;
	int err = h->ev.body ? h->ev.body(h->ctx, p, k) : 0;
	if (h->state == BODY_EOF || err)
		return err;
	h->left -= k;
	if (h->left)
		return 0;
	if (h->state == CHUNK_DATA) {
		h->state = CHUNK_CRLF;
		return 0;
	}
	h->state = START;
	return send_end(h, 0);
}

int vcr_http1_feed(struct vcr_http1 *h, const char *p, size_t n)
{
	int err = 0;
	while (n && !err) {
		size_t used = 0;
		switch (h->state) {
		case START:
			h->state = HEAD;
			/* fall through */
		case HEAD: err = feed_head(h, p, n, &used); break;
		case TRAILER: err = feed_trailer(h, p, n, &used); break;
		case CHUNK_SIZE: err = feed_chunk_size(h, p, n, &used); break;
		case CHUNK_CRLF: err = feed_chunk_crlf(h, p, &used); break;
		case BODY_LENGTH: case BODY_EOF: case CHUNK_DATA: err = feed_body(h, p, n, &used); break;
		case TUNNEL:
			used = n;
			err = h->ev.tunnel ? h->ev.tunnel(h->ctx, p, n) : 0;
			break;
		case FAILED:
			return h->err;
		}
		p += used;
		n -= used;
		h->fed += used;
	}
	return err;
}

int vcr_http1_eof(struct vcr_http1 *h)
{
	switch (h->state) {
	case BODY_EOF:
		h->state = START;
		return send_end(h, 0);
	case START: case TUNNEL:
		return 0;
	case FAILED:
		return h->err;
	default:
		return VCR_ETRUNC;
	}
}

bool vcr_http1_inside(const struct vcr_http1 *h)
{
	return h->state != START && h->state != TUNNEL && h->state != FAILED;
}

const char *vcr_http1_why(const struct vcr_http1 *h, uint64_t *at)
{
	if (at)
		*at = h->fed;
	return h->why ? h->why : "";
}
