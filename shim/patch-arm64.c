/* patch-arm64.c — see patch.h. One instruction is covered, so there is nothing inside to branch to but its beginning. */
#include <string.h>
#include "patch.h"

static uint32_t word(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_word(unsigned char *p, uint32_t w)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(w >> 8 * i);
}

/* The signed field of `bits` bits at `shift`, in bytes: branches count in instructions. */
static int64_t field(uint32_t w, unsigned shift, unsigned bits)
{
	int64_t v = (int64_t)(w >> shift & ((1u << bits) - 1));
	return (v & (int64_t)1 << (bits - 1) ? v - ((int64_t)1 << bits) : v) * 4;
}

/* B and conditional branches; *distance from the instruction. Calls come to the hook like any other. */
static bool is_branch(uint32_t w, int64_t *distance)
{
	if ((w & 0xfc000000) == 0x14000000) /* B */
		*distance = field(w, 0, 26);
	else if ((w & 0xff000000) == 0x54000000 || (w & 0x7e000000) == 0x34000000) /* B.cond, CBZ, CBNZ */
		*distance = field(w, 5, 19);
	else if ((w & 0x7e000000) == 0x36000000) /* TBZ, TBNZ */
		*distance = field(w, 5, 14);
	else
		return false;
	return true;
}

/* A conditional branch, made to go two instructions on. */
static uint32_t two_on(uint32_t w)
{
	uint32_t bits = (w & 0x7e000000) == 0x36000000 ? 14 : 19;
	return (w & ~(((1u << bits) - 1) << 5)) | 2 << 5;
}

/* Does it mean something else in another place, or not come to what follows? */
static const char *immovable(uint32_t w)
{
	if ((w & 0x7c000000) == 0x14000000) /* B, BL */
		return "begins with a jump or call";
	if ((w & 0x1f000000) == 0x10000000 /* ADR, ADRP */ || (w & 0x3b000000) == 0x18000000 /* LDR literal */)
		return "begins with an address that depends on its place";
	if ((w & 0xfe000000) == 0xd6000000 /* BR, BLR, RET */ || (w & 0xff000000) == 0xd4000000 /* BRK, HLT, SVC */ || !(w >> 16))
		return "begins with an instruction that is not understood";
	return NULL;
}

/* B from one address to another; false when it is too far. */
static bool branch(uint64_t from, uint64_t to, uint32_t *w)
{
	int64_t d = (int64_t)(to - from);
	*w = 0x14000000 | ((uint32_t)(d / 4) & 0x03ffffff);
	return d >= -(INT64_C(1) << 27) && d < INT64_C(1) << 27 && d % 4 == 0;
}

/* The instruction that the jump covers, anew, and the way back behind it. False: too far. */
static bool put_way(const struct vcr_patch_site *s, struct vcr_patch *out)
{
	uint32_t first = word(s->code), back, on;
	uint64_t at = s->slot + VCR_PATCH_ENTRY;
	int64_t distance;
	bool branches = is_branch(first, &distance);
	put_word(out->code + VCR_PATCH_ENTRY, branches ? two_on(first) : first);
	if (!branch(at + 4, s->at + 4, &back))
		return false;
	put_word(out->code + VCR_PATCH_ENTRY + 4, back);
	out->code_size = VCR_PATCH_ENTRY + 8;
	if (!branches)
		return true;
	if (!branch(at + 8, s->at + (uint64_t)distance, &on))
		return false;
	put_word(out->code + VCR_PATCH_ENTRY + 8, on);
	out->code_size = VCR_PATCH_ENTRY + 12;
	return true;
}

bool vcr_patch_arm64(const struct vcr_patch_site *s, struct vcr_patch *out)
{
	uint32_t there = 0;
	*out = (struct vcr_patch){ .jump_size = 4 };
	if (s->size < 8 || s->size % 4)
		out->refused = "is shorter than a jump";
	else
		out->refused = immovable(word(s->code));
	for (size_t at = 0; !out->refused && at < s->size; at += 4) {
		int64_t distance;
		if (is_branch(word(s->code + at), &distance) && (int64_t)at + distance == 0)
			out->refused = "branches back to its beginning";
	}
	if (!out->refused && (!branch(s->at, s->slot, &there) || !put_way(s, out)))
		out->refused = "lies too far from free memory";
	put_word(out->jump, there);
	put_word(out->code, 0x58000050);     /* ldr x16, 8 */
	put_word(out->code + 4, 0xd61f0200); /* br x16 */
	put_word(out->code + 8, (uint32_t)s->hook);
	put_word(out->code + 12, (uint32_t)(s->hook >> 32));
	return !out->refused;
}
