#include "grpc-plain.h"
#include "grpc.h"
#include "inflate.h"
#include "limits.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 5, COMPRESSED = 1 };

struct vcr_grpc_plain {
	char *coding;
	unsigned char prefix[PREFIX];
	size_t got;                  /* of the prefix */
	size_t left;                 /* of the message behind it */
	struct vcr_buf message;      /* what there is of a compressed one */
};

struct vcr_grpc_plain *vcr_grpc_plain_new(const struct vcr_http1_field *field, size_t n)
{
	const char *coding = vcr_http1_field(field, n, "grpc-encoding");
	struct vcr_inflate *known = NULL;
	if (!coding || !*coding || !vcr_grpc_is(vcr_http1_field(field, n, "content-type")) || vcr_inflate_new(&known, coding, NULL))
		return NULL;
	vcr_inflate_free(known);
	struct vcr_grpc_plain *z = calloc(1, sizeof *z);
	if (!z || !(z->coding = strdup(coding))) {
		free(z);
		return NULL;
	}
	vcr_buf_init(&z->message, VCR_MAX_HTTP_BODY);
	return z;
}

void vcr_grpc_plain_free(struct vcr_grpc_plain *z)
{
	if (!z)
		return;
	vcr_buf_release(&z->message);
	free(z->coding);
	free(z);
}

static int put_message(const char *p, size_t n, struct vcr_buf *out)
{
	const unsigned char prefix[PREFIX] = { 0, (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n };
	vcr_buf_add(out, prefix, PREFIX);
	return vcr_buf_add(out, p, n);
}

/* A compressed message is whole. */
static int expand(struct vcr_grpc_plain *z, struct vcr_buf *out)
{
	VCR_AUTO_BUF plain = VCR_BUF_INIT;
	struct vcr_inflate *i = NULL;
	int err = vcr_inflate_new(&i, z->coding, NULL);
	if (!err && z->message.len)
		err = vcr_inflate_feed(i, z->message.data, z->message.len, &plain);
	if (!err && z->message.len && vcr_inflate_end(i))
		err = VCR_ESYNTAX;
	vcr_inflate_free(i);
	vcr_buf_release(&z->message);
	vcr_buf_init(&z->message, VCR_MAX_HTTP_BODY);
	return err ? err : put_message(plain.data, plain.len, out);
}

static int take_prefix(struct vcr_grpc_plain *z, struct vcr_buf *out)
{
	const unsigned char *u = z->prefix;
	z->left = (size_t)u[1] << 24 | (size_t)u[2] << 16 | (size_t)u[3] << 8 | u[4];
	if (*u != COMPRESSED)
		vcr_buf_add(out, u, PREFIX);
	else if (!z->left)
		put_message("", 0, out);
	return out->err;
}

static int take_bytes(struct vcr_grpc_plain *z, const char *p, size_t n, struct vcr_buf *out)
{
	bool compressed = *z->prefix == COMPRESSED;
	int err = vcr_buf_add(compressed ? &z->message : out, p, n);
	z->left -= n;
	return err || z->left || !compressed ? err : expand(z, out);
}

int vcr_grpc_plain_feed(struct vcr_grpc_plain *z, const char *p, size_t n, struct vcr_buf *out)
{
	int err = 0;
	while (n && !err) {
		bool inside = z->got == PREFIX;
		size_t want = inside ? z->left : PREFIX - z->got, used = want < n ? want : n;
		if (inside) {
			err = take_bytes(z, p, used, out);
		} else {
			memcpy(z->prefix + z->got, p, used);
			z->got += used;
			err = z->got == PREFIX ? take_prefix(z, out) : 0;
		}
		if (z->got == PREFIX && !z->left)
			z->got = 0;
		p += used;
		n -= used;
	}
	return err;
}

int vcr_grpc_plain_end(const struct vcr_grpc_plain *z)
{
	return z->got ? VCR_ETRUNC : 0;
}

size_t vcr_grpc_plain_held(const struct vcr_grpc_plain *z)
{
	return z->message.cap;
}
