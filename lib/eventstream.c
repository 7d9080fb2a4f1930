#include "eventstream.h"
#include "limits.h"
#include <stdint.h>
#include <string.h>
#include <zlib.h>

enum { PRELUDE = 12, CRC = 4, STRING = 7 };

void vcr_eventstream_init(struct vcr_eventstream *s, int (*message)(void *ctx, const struct vcr_eventstream_message *m), void *ctx)
{
	*s = (struct vcr_eventstream){ .message = message, .ctx = ctx };
	vcr_buf_init(&s->held, VCR_MAX_EVENTSTREAM);
}

void vcr_eventstream_release(struct vcr_eventstream *s)
{
	vcr_buf_release(&s->held);
}

static uint32_t number(const unsigned char *p, size_t n)
{
	uint32_t v = 0;
	while (n--)
		v = v << 8 | *p++;
	return v;
}

/* Bytes of a header's value; -1 if its type is unknown or it does not fit. */
static long value_size(unsigned type, const unsigned char *p, size_t left)
{
	static const unsigned char fixed[] = { 0, 0, 1, 2, 4, 8, 0, 0, 8, 16 };
	if (type >= sizeof fixed)
		return -1;
	long n = type == 6 || type == STRING ? left < 2 ? -1 : (long)(2 + number(p, 2)) : fixed[type];
	return n <= (long)left ? n : -1;
}

static void keep(char *to, size_t room, const unsigned char *p, size_t n)
{
	n = n < room - 1 ? n : room - 1;
	memcpy(to, p, n);
	to[n] = 0;
}

static int read_headers(const unsigned char *p, size_t n, struct vcr_eventstream_message *m)
{
	static const char *const names[] = { ":event-type", ":exception-type", ":error-code" };
	while (n) {
		size_t k = p[0];
		if (n < k + 2)
			return VCR_ESYNTAX;
		const char *name = (const char *)p + 1;
		unsigned type = p[1 + k];
		p += k + 2;
		n -= k + 2;
		long size = value_size(type, p, n);
		if (size < 0)
			return VCR_ESYNTAX;
		if (type == STRING && k == 13 && !memcmp(name, ":message-type", k))
			keep(m->type, sizeof m->type, p + 2, (size_t)size - 2);
		for (size_t i = 0; type == STRING && i < 3; i++)
			if (strlen(names[i]) == k && !memcmp(name, names[i], k))
				keep(m->name, sizeof m->name, p + 2, (size_t)size - 2);
		p += size;
		n -= (size_t)size;
	}
	return 0;
}

/* The prelude at p: the message's length, or an error. */
static long message_size(const unsigned char *p)
{
	uint32_t total = number(p, 4), headers = number(p + 4, 4);
	if (crc32(0, p, 8) != number(p + 8, 4))
		return VCR_ECORRUPT;
	if (total > VCR_MAX_EVENTSTREAM)
		return VCR_ELIMIT;
	return total < PRELUDE + CRC || headers > total - PRELUDE - CRC ? VCR_ESYNTAX : (long)total;
}

static int take_message(struct vcr_eventstream *s, const unsigned char *p, size_t size)
{
	struct vcr_eventstream_message m = { .type = "" };
	size_t headers = number(p + 4, 4);
	if (crc32(0, p, (uInt)(size - CRC)) != number(p + size - CRC, CRC))
		return VCR_ECORRUPT;
	int r = read_headers(p + PRELUDE, headers, &m);
	m.payload = (const char *)p + PRELUDE + headers;
	m.len = size - PRELUDE - headers - CRC;
	return r ? r : s->message(s->ctx, &m);
}

/* How much of p the present message takes; its size is known once its prelude is there. */
static long missing(const struct vcr_eventstream *s)
{
	long size = s->held.len < PRELUDE ? PRELUDE : message_size((const unsigned char *)s->held.data);
	return size < 0 ? size : size - (long)s->held.len;
}

int vcr_eventstream_feed(struct vcr_eventstream *s, const char *p, size_t n)
{
	while (!s->err) {
		long want = missing(s);
		if (want < 0) {
			s->err = (int)want;
		} else if (!want) {
			s->err = take_message(s, (const unsigned char *)s->held.data, s->held.len);
			vcr_buf_reset(&s->held);
		} else if (!n) {
			break;
		} else {
			size_t k = (size_t)want < n ? (size_t)want : n;
			s->err = vcr_buf_add(&s->held, p, k);
			p += k;
			n -= k;
		}
	}
	return s->err;
}

int vcr_eventstream_end(const struct vcr_eventstream *s)
{
	return s->err ? s->err : s->held.len ? VCR_ETRUNC : 0;
}
