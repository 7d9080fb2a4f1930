#include "ws.h"
#include "limits.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, CONTROL = 8 };
enum { MAX_HEAD = 14, MAX_CONTROL = 125, STEP = 16 << 10, WINDOW = 32 << 10, NO_CODE = 1005 };

struct vcr_ws {
	struct vcr_ws_events ev;
	void *ctx;
	bool deflate, forgets, z_open;
	z_stream z;
	unsigned char head[MAX_HEAD];
	size_t got, need;            /* bytes of the frame's head; got == need: its payload is coming */
	uint64_t left;               /* of the payload */
	unsigned mask_at;
	bool in_message, text, compressed; /* a data message goes on over several frames */
	uint64_t packed;             /* its bytes so far, as they came */
	struct vcr_buf message;
	unsigned char control[MAX_CONTROL];
	size_t ncontrol;
	int err;
	const char *why;
};

int vcr_ws_extensions_read(const char *value, struct vcr_ws_extensions *out)
{
	struct vcr_ws_extensions got = { false, false, false };
	const char *p = value ? value : "";
	while (*(p += strspn(p, " \t,;"))) {
		size_t n = strcspn(p, " \t,;=");
		if (n == 18 && !strncasecmp(p, "permessage-deflate", n))
			got.deflate = true;
		else if (n == 26 && !strncasecmp(p, "client_no_context_takeover", n))
			got.client_forgets = true;
		else if (n == 26 && !strncasecmp(p, "server_no_context_takeover", n))
			got.server_forgets = true;
		else if (n != 22 || strncasecmp(p + 6, "_max_window_bits", 16)) /* a smaller window fits into ours */
			return VCR_ENOSYS;
		p += strcspn(p, ",;");
	}
	*out = got;
	return 0;
}

struct vcr_ws *vcr_ws_new(const struct vcr_ws_events *ev, void *ctx, bool deflate, bool forgets)
{
	struct vcr_ws *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	w->ev = *ev;
	w->ctx = ctx;
	w->deflate = deflate;
	w->forgets = forgets;
	w->need = 2;
	vcr_buf_init(&w->message, VCR_MAX_WS_MESSAGE);
	return w;
}

void vcr_ws_free(struct vcr_ws *w)
{
	if (!w)
		return;
	if (w->z_open)
		inflateEnd(&w->z);
	vcr_buf_release(&w->message);
	free(w);
}

const char *vcr_ws_why(const struct vcr_ws *w)
{
	return w->why ? w->why : "";
}

static int fail(struct vcr_ws *w, int err, const char *why)
{
	w->why = why;
	return w->err = err;
}

/* ---- Messages ---- */

/* A sender may end a message by a final block (RFC 7692 §7.2.3.4); the window goes on. */
static int begin_anew(struct vcr_ws *w)
{
	unsigned char window[WINDOW];
	uInt n = 0;
	if (inflateGetDictionary(&w->z, window, &n) != Z_OK || inflateReset(&w->z) != Z_OK || (n && inflateSetDictionary(&w->z, window, n) != Z_OK))
		return fail(w, VCR_ESYNTAX, "malformed compressed message");
	return 0;
}

static int unpack(struct vcr_ws *w, const unsigned char *p, size_t n)
{
	if (!w->z_open && !(w->z_open = inflateInit2(&w->z, -15) == Z_OK))
		return fail(w, VCR_ENOMEM, "out of memory");
	w->z.next_in = (Bytef *)p;
	w->z.avail_in = (uInt)n;
	for (;;) {
		char *to = vcr_buf_reserve(&w->message, STEP);
		if (!to)
			return fail(w, w->message.err, "message too large");
		w->z.next_out = (Bytef *)to;
		w->z.avail_out = STEP;
		int r = inflate(&w->z, Z_SYNC_FLUSH);
		vcr_buf_added(&w->message, STEP - w->z.avail_out);
		if (r == Z_STREAM_END) {
			if (begin_anew(w))
				return w->err;
			if (!w->z.avail_in)
				return 0;
		} else if (r != Z_OK && r != Z_BUF_ERROR) {
			return fail(w, VCR_ESYNTAX, "malformed compressed message");
		} else if (w->z.avail_out) {
			return 0;
		}
	}
}

static int add_data(struct vcr_ws *w, const unsigned char *p, size_t n)
{
	w->packed += n;
	if (w->packed > VCR_MAX_WS_MESSAGE)
		return fail(w, VCR_ELIMIT, "message too large");
	if (w->compressed)
		return unpack(w, p, n);
	return vcr_buf_add(&w->message, p, n) ? fail(w, w->message.err, "message too large") : 0;
}

static int message_done(struct vcr_ws *w)
{
	int r = 0;
	w->in_message = false;
	if (w->compressed && (r = unpack(w, (const unsigned char *)"\0\0\xff\xff", 4)))
		return r;
	if (w->compressed && w->forgets)
		inflateReset(&w->z);
	r = w->ev.message(w->ctx, w->text, w->message.data, w->message.len);
	if (w->message.cap > 4 * STEP) {
		vcr_buf_release(&w->message);
		vcr_buf_init(&w->message, VCR_MAX_WS_MESSAGE);
	}
	return r;
}

/* ---- Frames ---- */

static unsigned opcode(const struct vcr_ws *w)
{
	return w->head[0] & 15;
}

static int frame_done(struct vcr_ws *w)
{
	w->got = 0;
	w->need = 2;
	if (opcode(w) == CLOSE && w->ev.close)
		return w->ev.close(w->ctx, w->ncontrol >= 2 ? w->control[0] * 256u + w->control[1] : NO_CODE);
	if (opcode(w) == PING && w->ev.ping)
		return w->ev.ping(w->ctx, (const char *)w->control, w->ncontrol);
	if (opcode(w) & CONTROL || !(w->head[0] & 128))
		return 0;
	return message_done(w);
}

static int begin_message(struct vcr_ws *w)
{
	w->in_message = true;
	w->text = opcode(w) == TEXT;
	w->compressed = w->head[0] & 64;
	w->packed = 0;
	vcr_buf_reset(&w->message);
	return 0;
}

/* The frame's first two bytes: its rules, and how long its head is. */
static int take_start(struct vcr_ws *w)
{
	unsigned op = opcode(w), length = w->head[1] & 127;
	bool final = w->head[0] & 128, packed = w->head[0] & 64;
	if (w->head[0] & 48 || (packed && (!w->deflate || op == CONTINUATION || op & CONTROL)))
		return fail(w, VCR_ESYNTAX, "reserved bit set");
	if (op > PONG || (op > BINARY && op < CLOSE))
		return fail(w, VCR_ESYNTAX, "unknown opcode");
	if (op & CONTROL && (!final || length > MAX_CONTROL))
		return fail(w, VCR_ESYNTAX, "malformed control frame");
	if (!(op & CONTROL) && w->in_message != (op == CONTINUATION))
		return fail(w, VCR_ESYNTAX, w->in_message ? "a message inside another" : "continuation of nothing");
	w->need = 2 + (length == 127 ? 8 : length == 126 ? 2 : 0) + (w->head[1] & 128 ? 4 : 0);
	return op == TEXT || op == BINARY ? begin_message(w) : 0;
}

static int take_head(struct vcr_ws *w)
{
	unsigned length = w->head[1] & 127, n = length == 127 ? 8 : length == 126 ? 2 : 0;
	w->left = n ? 0 : length;
	for (unsigned i = 0; i < n; i++)
		w->left = w->left << 8 | w->head[2 + i];
	w->mask_at = 0;
	w->ncontrol = 0;
	if (w->left > VCR_MAX_WS_MESSAGE)
		return fail(w, VCR_ELIMIT, "message too large");
	return w->left ? 0 : frame_done(w);
}

static int feed_head(struct vcr_ws *w, unsigned char c)
{
	w->head[w->got++] = c;
	if (w->got == 2 && take_start(w))
		return w->err;
	return w->got >= 2 && w->got == w->need ? take_head(w) : 0;
}

/* n <= STEP */
static int feed_payload(struct vcr_ws *w, const char *p, size_t n)
{
	unsigned char plain[STEP];
	bool masked = w->head[1] & 128;
	const unsigned char *mask = masked ? w->head + w->need - 4 : w->head;
	for (size_t i = 0; i < n; i++)
		plain[i] = (unsigned char)p[i] ^ (masked ? mask[w->mask_at++ & 3] : 0);
	w->left -= n;
	if (opcode(w) & CONTROL) {
		memcpy(w->control + w->ncontrol, plain, n);
		w->ncontrol += n;
	} else if (add_data(w, plain, n)) {
		return w->err;
	}
	return w->left ? 0 : frame_done(w);
}

int vcr_ws_feed(struct vcr_ws *w, const char *p, size_t n)
{
	int r = w->err;
	while (n && !r) {
		size_t k = 1;
		if (w->got < w->need) {
			r = feed_head(w, (unsigned char)*p);
		} else {
			k = n < STEP ? n : STEP;
			k = k < w->left ? k : (size_t)w->left;
			r = feed_payload(w, p, k);
		}
		p += k;
		n -= k;
	}
	return r;
}

/* ---- What a server says ---- */

int vcr_ws_write(struct vcr_buf *out, enum vcr_ws_kind kind, const char *p, size_t n)
{
	if (kind & CONTROL && n > MAX_CONTROL)
		n = MAX_CONTROL;
	vcr_buf_putc(out, (char)(128 | kind));
	vcr_buf_putc(out, (char)(n <= MAX_CONTROL ? n : n <= 0xffff ? 126 : 127));
	for (int i = n <= MAX_CONTROL ? 0 : n <= 0xffff ? 2 : 8; i--;)
		vcr_buf_putc(out, (char)(n >> 8 * i));
	return vcr_buf_add(out, p, n);
}

/* A reason is UTF-8: one that is cut ends before a character, not in it. */
int vcr_ws_write_close(struct vcr_buf *out, unsigned code, const char *reason)
{
	char data[MAX_CONTROL];
	size_t n = strlen(reason);
	if (n > sizeof data - 2)
		for (n = sizeof data - 2; n && (reason[n] & 0xc0) == 0x80;)
			n--;
	data[0] = (char)(code >> 8);
	data[1] = (char)code;
	memcpy(data + 2, reason, n);
	return vcr_ws_write(out, VCR_WS_CLOSE, data, n + 2);
}
