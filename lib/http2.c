#include "http2.h"
#include "buf.h"
#include "limits.h"
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_HEAD = 9, MAX_TABLE = 256 << 10, MAX_CONTROL = 1 << 20 };
enum type { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum flag { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, HAS_PRIORITY = 32 };
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum state { PREFACE, HEAD, PAD_LENGTH, PAYLOAD, PADDING, FAILED };

struct vcr_http2 {
	enum vcr_http1_role role;
	struct vcr_http2_events ev;
	void *ctx;
	enum state state;
	nghttp2_hd_inflater *hpack;
	unsigned char head[FRAME_HEAD];
	size_t got;                  /* bytes of the preface or of a frame's head */
	size_t left, padding;        /* of this frame: payload, padding to come */
	enum type type;
	unsigned flags;
	uint32_t stream;
	bool begun, in_block;        /* a first frame was seen; a header block goes on */
	bool block_ends, block_push; /* END_STREAM of its first frame; it is a promise's */
	uint32_t block_stream;
	struct vcr_buf block;        /* fragments of the header block */
	struct vcr_buf control;      /* payload of a small frame that is read as a whole */
	struct vcr_buf text;         /* names and values, NUL-terminated */
	size_t at[VCR_MAX_HTTP_FIELDS][2]; /* where in `text`, which moves while it grows */
	struct vcr_http1_field field[VCR_MAX_HTTP_FIELDS + 1]; /* one more: host */
	uint64_t fed;
	int err;
	const char *why;
};

struct vcr_http2 *vcr_http2_new(enum vcr_http1_role role, const struct vcr_http2_events *ev, void *ctx)
{
	struct vcr_http2 *h = calloc(1, sizeof *h);
	if (!h)
		return NULL;
	h->role = role;
	h->ev = *ev;
	h->ctx = ctx;
	h->state = role == VCR_HTTP1_REQUEST ? PREFACE : HEAD;
	vcr_buf_init(&h->block, VCR_MAX_HTTP_HEAD);
	vcr_buf_init(&h->control, MAX_CONTROL);
	vcr_buf_init(&h->text, VCR_MAX_HTTP_HEAD);
	if (nghttp2_hd_inflate_new(&h->hpack) || nghttp2_hd_inflate_change_table_size(h->hpack, MAX_TABLE)) {
		vcr_http2_free(h);
		return NULL;
	}
	return h;
}

void vcr_http2_free(struct vcr_http2 *h)
{
	if (!h)
		return;
	if (h->hpack)
		nghttp2_hd_inflate_del(h->hpack);
	vcr_buf_release(&h->block);
	vcr_buf_release(&h->control);
	vcr_buf_release(&h->text);
	free(h);
}

static int fail(struct vcr_http2 *h, int err, const char *why)
{
	h->state = FAILED;
	h->err = err;
	h->why = why;
	return err;
}

const char *vcr_http2_why(const struct vcr_http2 *h, uint64_t *at)
{
	if (at)
		*at = h->fed;
	return h->why ? h->why : "";
}

static uint32_t number(const unsigned char *p, size_t n)
{
	uint32_t v = 0;
	while (n--)
		v = v << 8 | *p++;
	return v;
}

/* ---- Header blocks ---- */

/* One field's text behind the others. */
static int keep_field(struct vcr_http2 *h, const nghttp2_nv *nv, size_t *n)
{
	if (*n == VCR_MAX_HTTP_FIELDS)
		return fail(h, VCR_ELIMIT, "too many header fields");
	if (!nv->namelen || memchr(nv->name, 0, nv->namelen) || memchr(nv->value, 0, nv->valuelen))
		return fail(h, VCR_ESYNTAX, "malformed header field");
	h->at[*n][0] = h->text.len;
	vcr_buf_add(&h->text, nv->name, nv->namelen);
	vcr_buf_putc(&h->text, 0);
	h->at[(*n)++][1] = h->text.len;
	vcr_buf_add(&h->text, nv->value, nv->valuelen);
	vcr_buf_putc(&h->text, 0);
	return h->text.err ? fail(h, h->text.err, "header too large") : 0;
}

static int inflate_block(struct vcr_http2 *h, size_t *n)
{
	const uint8_t *p = (const uint8_t *)h->block.data;
	size_t left = h->block.len;
	vcr_buf_reset(&h->text);
	*n = 0;
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t used = nghttp2_hd_inflate_hd2(h->hpack, &nv, &flags, p, left, 1);
		if (used < 0)
			return fail(h, used == NGHTTP2_ERR_NOMEM ? VCR_ENOMEM : VCR_ESYNTAX, "malformed header block");
		p += used;
		left -= (size_t)used;
		int r = flags & NGHTTP2_HD_INFLATE_EMIT ? keep_field(h, &nv, n) : 0;
		if (r)
			return r;
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && !left)
			return fail(h, VCR_ESYNTAX, "malformed header block");
	}
	nghttp2_hd_inflate_end_headers(h->hpack);
	for (size_t i = 0; i < *n; i++)
		h->field[i] = (struct vcr_http1_field){ h->text.data + h->at[i][0], h->text.data + h->at[i][1] };
	return 0;
}

/* Pseudo fields go into the head, the others move up. How many pseudo fields there were; they stand first (RFC 9113 §8.3). Those of the other
 * direction make it malformed: -1. */
static int split_pseudo(struct vcr_http2 *h, size_t *n, struct vcr_http1_head *head, const char **authority)
{
	bool request = h->role == VCR_HTTP1_REQUEST;
	size_t pseudo = 0;
	while (pseudo < *n && *h->field[pseudo].name == ':') {
		const char *name = h->field[pseudo].name, *value = h->field[pseudo].value;
		if (request != !!strcmp(name, ":status"))
			return -1;
		if (!strcmp(name, ":method"))
			head->method = value;
		else if (!strcmp(name, ":path"))
			head->target = value;
		else if (!strcmp(name, ":authority"))
			*authority = value;
		else if (!strcmp(name, ":status"))
			head->status = strspn(value, "0123456789") == 3 && !value[3] ? atoi(value) : 0;
		pseudo++;
	}
	*n -= pseudo;
	memmove(h->field, h->field + pseudo, *n * sizeof *h->field);
	return (int)pseudo;
}

/* ":authority" is what Host is elsewhere. */
static void add_host(struct vcr_http2 *h, size_t *n, const char *authority)
{
	if (!authority || vcr_http1_field(h->field, *n, "host"))
		return;
	memmove(h->field + 1, h->field, *n * sizeof *h->field);
	h->field[0] = (struct vcr_http1_field){ "host", authority };
	++*n;
}

static int64_t content_length(const struct vcr_http1_field *f, size_t n)
{
	const char *s = vcr_http1_field(f, n, "content-length");
	size_t digits = s ? strspn(s, "0123456789") : 0;
	return digits && digits <= 15 && !s[digits] ? strtoll(s, NULL, 10) : -1;
}

static int give_head(struct vcr_http2 *h, size_t n, struct vcr_http1_head *head, const char *authority)
{
	bool request = h->role == VCR_HTTP1_REQUEST;
	if (request ? !head->method || !*head->method || (!head->target && !authority) : head->status < 100)
		return fail(h, VCR_ESYNTAX, "malformed head");
	if (request) {
		head->target = head->target && *head->target ? head->target : authority ? authority : "/"; /* CONNECT has no path */
		add_host(h, &n, authority);
	} else {
		head->reason = "";
	}
	head->field = h->field;
	head->nfield = n;
	head->keep_alive = true;
	head->content_length = content_length(h->field, n);
	return h->ev.head ? h->ev.head(h->ctx, h->block_stream, head) : 0;
}

static int send_end(struct vcr_http2 *h, uint32_t stream, size_t n)
{
	return h->ev.end ? h->ev.end(h->ctx, stream, h->field, n) : 0;
}

/* The block is complete. One without pseudo fields is a trailer (RFC 9113 §8.1). */
static int take_block(struct vcr_http2 *h)
{
	struct vcr_http1_head head = { .content_length = -1 };
	const char *authority = NULL;
	size_t n;
	int r = inflate_block(h, &n);
	h->in_block = false;
	vcr_buf_release(&h->block);
	vcr_buf_init(&h->block, VCR_MAX_HTTP_HEAD);
	if (r || h->block_push)
		return r;
	int pseudo = split_pseudo(h, &n, &head, &authority);
	if (pseudo < 0)
		return fail(h, VCR_ESYNTAX, "malformed head");
	if (pseudo)
		r = give_head(h, n, &head, authority);
	if (!r && h->block_ends)
		r = send_end(h, h->block_stream, pseudo ? 0 : n);
	return r;
}

/* A HEADERS or PUSH_PROMISE frame's payload without its padding: what stands before the fragment is left out. */
static int begin_block(struct vcr_http2 *h)
{
	size_t skip = h->type == PUSH_PROMISE ? 4 : h->flags & HAS_PRIORITY ? 5 : 0;
	if (h->control.len < skip)
		return fail(h, VCR_ESYNTAX, "header frame too short");
	h->in_block = true;
	h->block_push = h->type == PUSH_PROMISE;
	h->block_ends = h->type == HEADERS && h->flags & END_STREAM;
	h->block_stream = h->stream;
	vcr_buf_drop(&h->control, skip);
	return 0;
}

static int take_fragment(struct vcr_http2 *h)
{
	if (h->type != CONTINUATION && begin_block(h))
		return h->err;
	if (vcr_buf_add(&h->block, h->control.data, h->control.len))
		return fail(h, h->block.err, "header too large");
	return h->flags & END_HEADERS ? take_block(h) : 0;
}

/* ---- Frames ---- */

/* Is this a frame whose payload is read as a whole? */
static bool is_kept(const struct vcr_http2 *h)
{
	return h->type == HEADERS || h->type == PUSH_PROMISE || h->type == CONTINUATION || h->type == RST_STREAM || h->type == GOAWAY;
}

static int take_control(struct vcr_http2 *h)
{
	const unsigned char *p = (const unsigned char *)h->control.data;
	if (h->type == RST_STREAM)
		return h->ev.reset ? h->ev.reset(h->ctx, h->stream, number(p, 4)) : 0;
	if (h->type == GOAWAY)
		return h->ev.goaway ? h->ev.goaway(h->ctx, number(p, 4) & 0x7fffffff, number(p + 4, 4)) : 0;
	return take_fragment(h);
}

static int frame_done(struct vcr_http2 *h)
{
	int r = 0;
	h->state = HEAD;
	h->got = 0;
	if (is_kept(h))
		r = take_control(h);
	else if (h->type == DATA && h->flags & END_STREAM)
		r = send_end(h, h->stream, 0);
	if (h->control.cap > 4096)
		vcr_buf_release(&h->control);
	else
		vcr_buf_reset(&h->control);
	h->control.max = MAX_CONTROL;
	return r;
}

/* The rules that a passive reader needs to keep its place; NULL if the frame's head is fine. */
static const char *wrong_head(const struct vcr_http2 *h)
{
	bool on_stream = h->type == DATA || h->type == HEADERS || h->type == PRIORITY || h->type == RST_STREAM || h->type == PUSH_PROMISE || h->type == CONTINUATION;
	bool on_connection = h->type == SETTINGS || h->type == PING || h->type == GOAWAY;
	if (!h->begun && (h->type != SETTINGS || h->flags & ACK))
		return "the first frame is no SETTINGS";
	if (h->in_block != (h->type == CONTINUATION) || (h->in_block && h->stream != h->block_stream))
		return h->in_block ? "a header block is interrupted" : "CONTINUATION of nothing";
	if ((on_stream && !h->stream) || (on_connection && h->stream))
		return "frame on the wrong stream";
	if (h->type == PUSH_PROMISE && h->role == VCR_HTTP1_REQUEST)
		return "PUSH_PROMISE of a client";
	if ((h->type == RST_STREAM && h->left != 4) || (h->type == GOAWAY && h->left < 8) || (h->type == SETTINGS && h->left % 6))
		return "frame of a wrong size";
	return is_kept(h) && h->left > VCR_MAX_HTTP_HEAD ? "header too large" : NULL;
}

static int take_frame_head(struct vcr_http2 *h)
{
	h->left = number(h->head, 3);
	h->type = h->head[3];
	h->flags = h->head[4];
	h->stream = number(h->head + 5, 4) & 0x7fffffff;
	h->padding = 0;
	const char *why = wrong_head(h);
	if (why)
		return fail(h, is_kept(h) && h->left > VCR_MAX_HTTP_HEAD ? VCR_ELIMIT : VCR_ESYNTAX, why);
	h->begun = true;
	bool padded = h->flags & PADDED && (h->type == DATA || h->type == HEADERS || h->type == PUSH_PROMISE);
	if (padded && !h->left)
		return fail(h, VCR_ESYNTAX, "padding longer than its frame");
	h->state = padded ? PAD_LENGTH : PAYLOAD;
	return !padded && !h->left ? frame_done(h) : 0;
}

static int after_payload(struct vcr_http2 *h)
{
	if (h->left)
		return 0;
	h->state = PADDING;
	return h->padding ? 0 : frame_done(h);
}

static int take_pad_length(struct vcr_http2 *h, unsigned char length)
{
	h->left--;
	if (length > h->left)
		return fail(h, VCR_ESYNTAX, "padding longer than its frame");
	h->padding = length;
	h->left -= length;
	h->state = PAYLOAD;
	return after_payload(h);
}

static int feed_payload(struct vcr_http2 *h, const char *p, size_t n)
{
	int r = 0;
	if (h->type == DATA)
		r = h->ev.body ? h->ev.body(h->ctx, h->stream, p, n) : 0;
	else if (is_kept(h) && vcr_buf_add(&h->control, p, n))
		r = fail(h, h->control.err, "header too large");
	h->left -= n;
	return r ? r : after_payload(h);
}

static int feed_padding(struct vcr_http2 *h, size_t n)
{
	h->padding -= n;
	return h->padding ? 0 : frame_done(h);
}

static int feed_preface(struct vcr_http2 *h, const char *p, size_t n)
{
	if (memcmp(preface + h->got, p, n))
		return fail(h, VCR_ESYNTAX, "no connection preface");
	h->got += n;
	if (h->got == sizeof preface - 1) {
		h->state = HEAD;
		h->got = 0;
	}
	return 0;
}

static int feed_frame_head(struct vcr_http2 *h, const char *p, size_t n)
{
	memcpy(h->head + h->got, p, n);
	h->got += n;
	return h->got == FRAME_HEAD ? take_frame_head(h) : 0;
}

/* How many of n bytes the present state takes at once. */
static size_t wanted(const struct vcr_http2 *h, size_t n)
{
	size_t want = h->state == PREFACE ? sizeof preface - 1 - h->got : h->state == HEAD ? FRAME_HEAD - h->got : h->state == PAYLOAD ? h->left :
		h->state == PADDING ? h->padding : 1;
	return want < n ? want : n;
}

int vcr_http2_feed(struct vcr_http2 *h, const char *p, size_t n)
{
	int err = 0;
	while (n && !err) {
		size_t used = wanted(h, n);
		switch (h->state) {
		case PREFACE: err = feed_preface(h, p, used); break;
		case HEAD: err = feed_frame_head(h, p, used); break;
		case PAD_LENGTH: err = take_pad_length(h, (unsigned char)*p); break;
		case PAYLOAD: err = feed_payload(h, p, used); break;
		case PADDING: err = feed_padding(h, used); break;
		case FAILED: return h->err;
		}
		p += used;
		n -= used;
		h->fed += used;
	}
	return err;
}

bool vcr_http2_looks_joined(const char *p, size_t n)
{
	const unsigned char *at = (const unsigned char *)p, *end = at + n;
	unsigned frames = 0;
	while (end - at >= FRAME_HEAD) {
		size_t length = number(at, 3);
		if (length > 16384 || at[3] > CONTINUATION || at[4] & ~(unsigned)(END_STREAM | END_HEADERS | PADDED | HAS_PRIORITY) || at[5] & 0x80)
			return false;
		if ((size_t)(end - at) - FRAME_HEAD < length)
			return false;
		at += FRAME_HEAD + length;
		frames++;
	}
	return frames && at == end;
}
