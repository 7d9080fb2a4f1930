/* json-plain.h — inside json*.c: passing over the text of strings, many bytes a step. */
#ifndef VCR_JSON_PLAIN_H
#define VCR_JSON_PLAIN_H
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes of a well-formed UTF-8 sequence at p (Unicode table 3-7), 0 if it is none; *more when it is only cut short. */
static inline int vcr_json_utf8_length(const unsigned char *p, const unsigned char *end, bool *more)
{
	int n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
	*more = false;
	for (int i = 1; i < n; i++) {
		if (p + i >= end) {
			*more = true;
			return 0;
		}
		unsigned char low = 0x80, high = 0xbf;
		if (i == 1) {
			low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
			high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
		}
		if (p[i] < low || p[i] > high)
			return 0;
	}
	return n;
}

/* Of eight bytes, the top bit of each that cannot stand in a JSON string of ASCII as it is: quote, backslash, control, >= 0x80. Only the lowest
 * bit that is set says where: those above it may be borrowed. */
static inline uint64_t vcr_json_not_plain(const unsigned char *p)
{
	const uint64_t ones = 0x0101010101010101ull, tops = 0x8080808080808080ull;
	uint64_t v;
	memcpy(&v, p, 8);
	v = le64toh(v);
	uint64_t quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
	return ((v - ones * 0x20) | (quote - ones) | (slash - ones) | v) & tops;
}

/* The first byte that is not plain; end if all are. */
static inline const unsigned char *vcr_json_skip_plain(const unsigned char *p, const unsigned char *end)
{
	typedef signed char bytes __attribute__((vector_size(16)));
	typedef uint64_t words __attribute__((vector_size(16)));
	for (bytes c; end - p >= 16; p += 16) {
		memcpy(&c, p, 16);
		words hit = (words)((c < 0x20) | (c == '"') | (c == '\\')); /* >= 0x80 is below 0 */
		uint64_t low = le64toh(hit[0]), high = le64toh(hit[1]);
		if (low | high)
			return p + (low ? __builtin_ctzll(low) : 64 + __builtin_ctzll(high)) / 8;
	}
	for (; end - p >= 8; p += 8) {
		uint64_t hit = vcr_json_not_plain(p);
		if (hit)
			return p + __builtin_ctzll(hit) / 8;
	}
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

#endif
