/* patch-x86.c — see patch.h. Instruction lengths of x86-64, without EVEX and XOP. */
#include <string.h>
#include "patch.h"

struct instruction {
	size_t length;
	int map;                     /* 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A */
	unsigned opcode, modrm;
	size_t rip_at;               /* offset of a displacement from the next instruction; 0: none */
	size_t rel_at, rel_size;     /* of a branch; size 0: none */
};

/* What follows an opcode. - nothing; b w d: an immediate of 1, 2, 4 bytes; v: 4, or 8 with REX.W; m: ModRM; M D: ModRM and 1 or 4 bytes; g G: likewise, if
 * the operation is TEST; j J: a relative target of 1 or 4 bytes; p r V E: prefix, REX, VEX, 0F; x y: another byte of opcode; . not understood. */
static const char one_byte[] =
	"mmmmbd..mmmmbd.E" "mmmmbd..mmmmbd.." "mmmmbdp.mmmmbdp." "mmmmbdp.mmmmbdp."
	"rrrrrrrrrrrrrrrr" "----------------" "...mppppdDbM----" "jjjjjjjjjjjjjjjj"
	"MD.Mmmmmmmmmmmm." "----------.-----" "....----bd------" "bbbbbbbbvvvvvvvv"
	"MMw-VVMD.-w--b.-" "mmmm...-mmmmmmmm" "jjjjbbbbJJ.j----" "p-pp--gG------mm";
static const char two_bytes[] =
	"mmmm.-----.-.m.." "mmmmmmmmmmmmmmmm" "mmmm....mmmmmmmm" "------.-x.y....."
	"mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm" "MMMMmmm-..mmmmmm"
	"JJJJJJJJJJJJJJJJ" "mmmmmmmmmmmmmmmm" "---mMm..---mMmmm" "mmmmmmmmmmMmmmmm"
	"mmMmMMMm--------" "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm" "mmmmmmmmmmmmmmmm";

struct cursor { const unsigned char *p; size_t size, at; bool short16, wide, cut; };

static unsigned next(struct cursor *c)
{
	if (c->at < c->size)
		return c->p[c->at++];
	c->cut = true;
	return 0;
}

static char vex(struct cursor *c, unsigned first, struct instruction *i)
{
	unsigned payload = next(c);
	i->map = first == 0xc5 ? 1 : (int)(payload & 31);
	if (first == 0xc4)
		next(c);
	i->opcode = next(c);
	return i->map == 1 ? two_bytes[i->opcode] : i->map == 2 ? 'm' : i->map == 3 ? 'M' : '.';
}

/* Prefixes and opcode; what follows it. */
static char operation(struct cursor *c, struct instruction *i)
{
	bool rex = false;
	for (;;) {
		unsigned b = i->opcode = next(c);
		char kind = one_byte[b];
		if (kind == 'p' && !rex) {
			c->short16 |= b == 0x66;
			if (b == 0x67)
				return '.';
			continue;
		}
		if (kind == 'r' && !rex) {
			rex = true;
			c->wide = b & 8;
			continue;
		}
		if (kind == 'V' && !rex)
			return vex(c, b, i);
		if (kind != 'E')
			return kind == 'p' || kind == 'r' || kind == 'V' ? '.' : kind;
		break;
	}
	i->map = 1;
	i->opcode = next(c);
	char kind = two_bytes[i->opcode];
	if (kind != 'x' && kind != 'y')
		return kind;
	i->map = kind == 'x' ? 2 : 3;
	i->opcode = next(c);
	return kind == 'x' ? 'm' : 'M';
}

static void operand(struct cursor *c, struct instruction *i)
{
	unsigned m = i->modrm = next(c), mod = m >> 6, rm = m & 7;
	if (mod == 3)
		return;
	unsigned base = rm == 4 ? next(c) & 7 : rm;
	if (mod == 0 && rm == 5)
		i->rip_at = c->at;
	c->at += mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
}

/* One instruction of at most `size` bytes. False: not understood. */
static bool decode(const unsigned char *p, size_t size, struct instruction *i)
{
	struct cursor c = { .p = p, .size = size < 15 ? size : 15 };
	*i = (struct instruction){ 0 };
	char kind = operation(&c, i);
	size_t four = c.short16 ? 2 : 4;
	if (kind == '.' || c.cut)
		return false;
	if (strchr("mMDgG", kind))
		operand(&c, i);
	bool test = (i->modrm >> 3 & 7) < 2;
	switch (kind) {
	case 'b': case 'M': c.at += 1; break;
	case 'w': c.at += 2; break;
	case 'd': case 'D': c.at += four; break;
	case 'v': c.at += c.wide ? 8 : four; break;
	case 'g': c.at += test ? 1 : 0; break;
	case 'G': c.at += test ? four : 0; break;
	case 'j': case 'J':
		i->rel_at = c.at;
		i->rel_size = kind == 'j' ? 1 : 4;
		c.at += i->rel_size;
		break;
	default: break;
	}
	i->length = c.at;
	return !c.cut && c.at <= c.size && !(kind == 'J' && c.short16);
}

static int64_t displacement(const unsigned char *p, size_t size)
{
	int32_t four;
	memcpy(&four, p, 4 * (size == 4));
	return size == 4 ? four : (int8_t)*p;
}

static bool is_jump(const struct instruction *i)
{
	return !i->map && (i->opcode == 0xe9 || i->opcode == 0xeb);
}

static bool is_call(const struct instruction *i)
{
	return !i->map && i->opcode == 0xe8;
}

/* ---- branches back ---- */

struct range { uint64_t from, to; }; /* offsets in the function that the jump covers */

/* A call of the function by itself goes to the hook like any other. */
static bool inside(struct range r, uint64_t target, bool call)
{
	return target >= r.from && target < r.to && !(call && target == r.from);
}

/* Bytes that cannot be told apart into instructions: whatever could be a branch is taken for one. */
static bool may_branch_into(const unsigned char *p, size_t size, size_t from, struct range r)
{
	for (size_t at = from; at + 1 < size; at++) {
		bool near = (p[at] & 0xf0) == 0x70 || (p[at] & 0xfc) == 0xe0 || p[at] == 0xeb;
		bool far = p[at] == 0xe8 || p[at] == 0xe9 || (at && p[at - 1] == 0x0f && (p[at] & 0xf0) == 0x80);
		if (near && inside(r, at + 2 + (uint64_t)displacement(p + at + 1, 1), false))
			return true;
		if (far && at + 5 <= size && inside(r, at + 5 + (uint64_t)displacement(p + at + 1, 4), p[at] == 0xe8))
			return true;
	}
	return false;
}

static bool branches_into(const unsigned char *p, size_t size, struct range r)
{
	struct instruction i;
	for (size_t at = 0; at < size; at += i.length) {
		if (!decode(p + at, size - at, &i))
			return may_branch_into(p, size, at, r);
		if (i.rel_size && inside(r, at + i.length + (uint64_t)displacement(p + at + i.rel_at, i.rel_size), is_call(&i)))
			return true;
	}
	return false;
}

/* ---- the way to the function as it was ---- */

struct writer { const struct vcr_patch_site *site; struct vcr_patch *out; size_t covered; /* of the function */ };

static void put(struct vcr_patch *o, const void *p, size_t n)
{
	if (o->code_size + n > sizeof o->code) {
		o->refused = "begins with more than a slot holds";
		return;
	}
	memcpy(o->code + o->code_size, p, n);
	o->code_size += n;
}

/* The distance from the end of a field of 4 bytes at the end of the code, to an address. */
static void put_distance(struct writer *w, uint64_t target, size_t after)
{
	int64_t d = (int64_t)(target - (w->site->slot + w->out->code_size + 4 + after));
	int32_t four = (int32_t)d;
	if (d != four)
		w->out->refused = "lies too far from free memory";
	put(w->out, &four, 4);
}

static void put_branch(struct writer *w, const struct instruction *i, uint64_t target)
{
	unsigned char jcc[2] = { 0x0f, (unsigned char)(0x80 | (i->opcode & 15)) };
	bool conditional = (i->map == 0 && (i->opcode & 0xf0) == 0x70) || i->map == 1;
	if (is_call(i)) {
		/* A call comes back behind itself, not into the slot, so that whoever walks the stack finds the function:
		 * push 5(%rip); jmp target; .quad back */
		put(w->out, "\xff\x35\x05\0\0\0\xe9", 7);
		put_distance(w, target, 0);
		uint64_t back = w->site->at + w->out->at + w->covered;
		put(w->out, &back, 8);
	} else if (conditional) {
		put(w->out, jcc, 2);
		put_distance(w, target, 0);
	} else if (is_jump(i)) {
		put(w->out, "\xe9", 1);
		put_distance(w, target, 0);
	} else {
		w->out->refused = "begins with a loop";
	}
}

/* Does control never come to what follows? */
static bool ends(const struct instruction *i)
{
	unsigned reg = i->modrm >> 3 & 7;
	if (i->map == 1)
		return i->opcode == 0x0b;
	return !i->map && (i->opcode == 0xc2 || i->opcode == 0xc3 || i->opcode == 0xca || i->opcode == 0xcb || i->opcode == 0xcc || i->opcode == 0xcf ||
		i->opcode == 0xf4 || (i->opcode == 0xff && (reg == 4 || reg == 5)));
}

static void put_instruction(struct writer *w, const unsigned char *p, const struct instruction *i, uint64_t address)
{
	unsigned reg = i->modrm >> 3 & 7;
	uint64_t next_address = address + i->length;
	if (ends(i) || (!i->map && i->opcode == 0xff && (reg == 2 || reg == 3))) {
		w->out->refused = ends(i) ? "ends before a jump has room" : "begins with an indirect call";
	} else if (i->rel_size) {
		put_branch(w, i, next_address + (uint64_t)displacement(p + i->rel_at, i->rel_size));
	} else if (i->rip_at) {
		put(w->out, p, i->rip_at);
		put_distance(w, next_address + (uint64_t)displacement(p + i->rip_at, 4), i->length - i->rip_at - 4);
		put(w->out, p + i->rip_at + 4, i->length - i->rip_at - 4);
	} else {
		put(w->out, p, i->length);
	}
}

/* The instructions that the jump covers, anew. True: control goes on behind them. */
static bool put_beginning(struct writer *w, size_t least)
{
	const struct vcr_patch_site *s = w->site;
	bool left = false; /* by a call or jump */
	while (w->covered < least && !w->out->refused) {
		struct instruction i;
		size_t at = w->out->at + w->covered;
		if (at >= s->size) {
			w->out->refused = "is shorter than a jump";
		} else if (!decode(s->code + at, s->size - at, &i)) {
			w->out->refused = "begins with an instruction that is not understood";
		} else {
			w->covered += i.length;
			left = is_call(&i) || is_jump(&i);
			put_instruction(w, s->code + at, &i, s->at + at);
			if (left && w->covered < least)
				w->out->refused = "ends before a jump has room";
		}
	}
	return !left;
}

bool vcr_patch_x86(const struct vcr_patch_site *s, struct vcr_patch *out)
{
	enum { JUMP = 5 };
	struct writer w = { s, out, 0 };
	*out = (struct vcr_patch){ .jump_size = JUMP, .jump = { 0xe9 } };
	if (s->size >= 4 && !memcmp(s->code, "\xf3\x0f\x1e\xfa", 4)) /* endbr64 stays: indirect calls have to land on it */
		out->at = 4;
	put(out, "\xff\x25\0\0\0\0", 6); /* jmp *0(%rip) */
	put(out, &s->hook, 8);
	put(out, "\xcc\xcc", VCR_PATCH_ENTRY - 14);
	bool goes_on = put_beginning(&w, JUMP);
	struct range covered = { out->at, out->at + w.covered };
	if (!out->refused && branches_into(s->code, s->size, covered))
		out->refused = "branches back to its beginning";
	if (!out->refused && goes_on) {
		put(out, "\xe9", 1);
		put_distance(&w, s->at + covered.to, 0);
	}
	int64_t distance = (int64_t)(s->slot - (s->at + out->at + JUMP));
	int32_t four = (int32_t)distance;
	if (!out->refused && distance != four)
		out->refused = "lies too far from free memory";
	memcpy(out->jump + 1, &four, 4);
	return !out->refused;
}
