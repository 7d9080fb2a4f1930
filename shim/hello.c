/* hello.c — see hello.h. */
#include "hello.h"
#include <string.h>

struct bytes { const uint8_t *p; size_t n; };

static bool skip(struct bytes *b, size_t n)
{
	bool fits = n <= b->n;
	n = fits ? n : b->n;
	b->p += n;
	b->n -= n;
	return fits;
}

static size_t number(struct bytes *b, size_t size)
{
	size_t v = 0;
	for (size_t i = 0; i < size && i < b->n; i++)
		v = v << 8 | b->p[i];
	return skip(b, size) ? v : 0;
}

/* A field with its length before it. What is not there is empty. */
static struct bytes field(struct bytes *b, size_t size)
{
	struct bytes f = { .n = number(b, size) };
	f.n = f.n < b->n ? f.n : b->n;
	f.p = b->p;
	skip(b, f.n);
	return f;
}

static void take_name(struct bytes list, char name[VCR_HELLO_NAME])
{
	struct bytes all = field(&list, 2);
	bool host = number(&all, 1) == 0, whole = all.n >= 2 && all.n - 2 >= ((size_t)all.p[0] << 8 | all.p[1]);
	struct bytes text = field(&all, 2);
	if (!host || !whole || text.n >= VCR_HELLO_NAME || memchr(text.p, 0, text.n))
		return; /* a piece of a name would be another host's */
	for (size_t i = 0; i < text.n; i++)
		name[i] = (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] + 32 : text.p[i]);
	name[text.n] = 0;
}

static bool wants_only_h2(struct bytes list)
{
	struct bytes all = field(&list, 2);
	bool some = false;
	while (all.n) {
		struct bytes word = field(&all, 1);
		if (word.n != 2 || memcmp(word.p, "h2", 2))
			return false;
		some = true;
	}
	return some;
}

bool vcr_hello_read(const void *p, size_t n, char name[VCR_HELLO_NAME], bool *only_h2)
{
	enum { RECORD = 5, HELLO = 1, HANDSHAKE = 4, VERSION = 2, RANDOM = 32, SERVER_NAME = 0, ALPN = 16 };
	struct bytes b = { p, n };
	*name = 0;
	*only_h2 = false;
	if (n < RECORD + HANDSHAKE || b.p[RECORD] != HELLO || !skip(&b, RECORD + HANDSHAKE + VERSION + RANDOM))
		return false;
	field(&b, 1); /* session, cipher suites, compression */
	field(&b, 2);
	field(&b, 1);
	struct bytes extensions = field(&b, 2);
	while (extensions.n) {
		size_t type = number(&extensions, 2);
		struct bytes e = field(&extensions, 2);
		if (type == SERVER_NAME)
			take_name(e, name);
		else if (type == ALPN)
			*only_h2 = wants_only_h2(e);
	}
	return *name != 0;
}
