#include "normal.h"
#include "normal-order.h"
#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* Bits in the order of the table of normalisers. */
enum { UUID = 1 << 0, LS = 1 << 1, DATE = 1 << 2, DIRECTORIES = 15 << 3, PID = 1 << 7, PORT = 1 << 8, DURATION = 1 << 9, CLAUDE = 1 << 10, ANSI = 1 << 11, GIT = 1 << 12, ID = 1 << 13,
	CODEX = 1 << 14, PROJECT = 1 << 15 };

/* ---- Small things ---- */

/* As isalnum and '_', in every locale. */
static const bool word_byte[256] = { ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['_'] = true };
static const bool hex_byte[256] = { ['0' ... '9'] = true, ['a' ... 'f'] = true, ['A' ... 'F'] = true };

static bool digit(const char *p, size_t n, size_t i)
{
	return i < n && p[i] >= '0' && p[i] <= '9';
}

static bool word(const char *p, size_t n, size_t i)
{
	return i < n && word_byte[(unsigned char)p[i]];
}

static size_t digits(const char *p, size_t n, size_t i)
{
	size_t k = 0;
	while (digit(p, n, i + k))
		k++;
	return k;
}

static bool has(const char *p, size_t n, size_t at, const char *s)
{
	for (; *s; s++, at++) /* mostly the first byte decides */
		if (at >= n || p[at] != *s)
			return false;
	return true;
}

/* In JSON inside a string the end of a line is two characters, and the second no part of a word. */
static bool is_escaped(char c)
{
	return c == 'n' || c == 'r' || c == 't';
}

/* Not in the middle of a word or number. */
static bool begins_word(const char *p, size_t at)
{
	return !at || !word_byte[(unsigned char)p[at - 1]] || (at > 1 && p[at - 2] == '\\' && is_escaped(p[at - 1]));
}

/* ---- The normalisers ---- */

static size_t match_uuid(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	if (n - at < 36 || p[at + 8] != '-' || !begins_word(p, at) || word(p, n, at + 36))
		return 0;
	for (size_t i = 0; i < 36; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? p[at + i] != '-' : !isxdigit((unsigned char)p[at + i]))
			return 0;
	return 36;
}

/* HH:MM[:SS[.fraction]] */
static size_t clock_at(const char *p, size_t n, size_t i)
{
	if (digits(p, n, i) != 2 || i + 2 >= n || p[i + 2] != ':' || digits(p, n, i + 3) != 2)
		return 0;
	size_t k = 5;
	if (i + k < n && p[i + k] == ':' && digits(p, n, i + k + 1) == 2)
		k += 3;
	if (k == 8 && i + k < n && (p[i + k] == '.' || p[i + k] == ',') && digit(p, n, i + k + 1))
		k += 1 + digits(p, n, i + k + 1);
	return k;
}

/* Z, +02:00, +0200, " UTC", " GMT" */
static size_t zone_at(const char *p, size_t n, size_t i)
{
	if (i < n && p[i] == 'Z' && !word(p, n, i + 1))
		return 1;
	if (i < n && (has(p, n, i, " UTC") || has(p, n, i, " GMT")))
		return 4;
	size_t space = i < n && p[i] == ' ';
	if (i + space < n && (p[i + space] == '+' || p[i + space] == '-') && digits(p, n, i + space + 1) == 4)
		return space + 5;
	if (i + 5 < n && (p[i] == '+' || p[i] == '-') && digits(p, n, i + 1) == 2 && p[i + 3] == ':' && digits(p, n, i + 4) == 2)
		return 6;
	return 0;
}

/* Names of days and months: each with a capital. */
static size_t one_of(const char *p, size_t n, size_t i, const char *const *names)
{
	if (i >= n || p[i] < 'A' || p[i] > 'Z')
		return 0;
	for (; *names; names++)
		if (has(p, n, i, *names)) {
			size_t k = strlen(*names);
			while (word(p, n, i + k) && !isdigit((unsigned char)p[i + k]) && k < 9)
				k++;
			return k;
		}
	return 0;
}

static size_t separators(const char *p, size_t n, size_t i)
{
	size_t k = 0;
	while (i + k < n && k < 3 && (p[i + k] == ' ' || p[i + k] == ',' || p[i + k] == '-'))
		k++;
	return k;
}

/* A day or an hour, of so many digits, at p[at]: may a month be next? Most numbers are neither. */
static bool may_be_dated(const char *p, size_t n, size_t at, size_t d)
{
	size_t k = d == 1 || d == 2 ? separators(p, n, at + d) : 0, i = at + d + k;
	return i < n && d <= 2 && (k ? (p[i] >= 'A' && p[i] <= 'Z') || digit(p, n, i) : p[i] == ':');
}

/* Tue, 24 Nov 2026 10:00:00 GMT; Tue Nov 24 10:00:00 2026; November 24, 2026; 24 November 2026 */
static size_t named_date(const char *p, size_t n, size_t at)
{
	static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", NULL };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", NULL };
	size_t i = at, k = one_of(p, n, i, days);
	bool month = false, day = false, year = false;
	if (k)
		i += k + separators(p, n, i + k);
	for (int part = 0; part < 4 && i < n; part++) {
		size_t d = digits(p, n, i), time = clock_at(p, n, i);
		if (time)
			i += time + zone_at(p, n, i + time);
		else if (d == 4 && !year && month)
			year = true, i += d;
		else if ((d == 1 || d == 2) && !day)
			day = true, i += d;
		else if (!month && (k = one_of(p, n, i, months)))
			month = true, i += k;
		else
			break;
		if (month && day && year)
			break;
		k = separators(p, n, i);
		if (!k)
			break;
		i += k;
	}
	if (!month || !day || !year || word(p, n, i))
		return 0;
	if (i + 1 < n && (p[i] == ' ' || p[i] == ',')) {
		size_t gap = separators(p, n, i), time = clock_at(p, n, i + gap);
		if (time)
			i += gap + time + zone_at(p, n, i + gap + time);
	}
	return i - at;
}

static size_t match_date(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	if (!begins_word(p, at))
		return 0;
	size_t d = digits(p, n, at);
	if (d != 4)
		return !d || may_be_dated(p, n, at, d) ? named_date(p, n, at) : 0;
	if (n - at < 10 || p[at + 4] != '-' || p[at + 7] != '-' || digits(p, n, at + 5) != 2 || digits(p, n, at + 8) != 2)
		return 0;
	size_t i = at + 10;
	if (i + 1 < n && (p[i] == 'T' || p[i] == ' ')) {
		size_t time = clock_at(p, n, i + 1);
		if (time)
			i += 1 + time + zone_at(p, n, i + 1 + time);
	}
	return word(p, n, i) ? 0 : i - at;
}

size_t vcr_normal_directory(const char *dir, const char *p, size_t n, size_t at)
{
	size_t k = dir ? strlen(dir) : 0;
	if (k < 2 || n - at < k || memcmp(p + at, dir, k))
		return 0;
	/* /home/u is no part of /home/user or of /mnt/home/u */
	bool goes_on = word(p, n, at + k) || (at + k < n && (p[at + k] == '-' || p[at + k] == '.') && word(p, n, at + k + 1));
	return goes_on || !begins_word(p, at) || (at && p[at - 1] == '.') ? 0 : k;
}

/* Directories lie in each other, one way here and another there: the longest that stands there is meant, of equal ones the first. */
static size_t match_directory(const struct vcr_normal_context *c, int which, const char *p, size_t n, size_t at)
{
	const char *const dir[] = { c->cwd, c->workspace, c->home, c->tmp };
	size_t k = vcr_normal_directory(dir[which], p, n, at);
	for (int i = 0; k && i < 4; i++) {
		size_t other = i == which ? 0 : vcr_normal_directory(dir[i], p, n, at);
		if (other > k || (other == k && i < which))
			k = 0;
	}
	return k;
}

#define DIRECTORY(name, which) \
	static size_t match_##name(const struct vcr_normal_context *c, const char *p, size_t n, size_t at) \
	{ \
		return match_directory(c, which, p, n, at); \
	}
DIRECTORY(cwd, 0)
DIRECTORY(workspace, 1)
DIRECTORY(home, 2)
DIRECTORY(tmp, 3)
#undef DIRECTORY

struct name { const char *s; size_t n; };
#define NAME(s) { s, sizeof s - 1 }

/* Before a number: between it and one of the words, up to three of them. */
static const uint16_t before_number[256] = { [' '] = PID, [':'] = PID | PORT, ['='] = PID, ['#'] = PID, ['['] = PID };

/* A number at `at` that one of the words, ended by such bytes or nothing, stands before. */
static size_t number_behind(const char *p, size_t n, size_t at, const struct name *words, unsigned between)
{
	size_t end = at;
	if (!at || !digit(p, n, at) || word_byte[(unsigned char)p[at - 1]])
		return 0;
	while (end && at - end < 3 && before_number[(unsigned char)p[end - 1]] & between)
		end--;
	for (; end && words->n; words++) {
		if ((p[end - 1] | 32) != (words->s[words->n - 1] | 32) || end < words->n || strncasecmp(p + end - words->n, words->s, words->n) || !begins_word(p, end - words->n))
			continue;
		size_t d = digits(p, n, at);
		return word(p, n, at + d) ? 0 : d;
	}
	return 0;
}

static size_t match_pid(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	static const struct name words[] = { NAME("pid"), NAME("ppid"), NAME("pgid"), NAME("process"), NAME("process id"), { NULL, 0 } };
	return number_behind(p, n, at, words, PID);
}

static size_t match_port(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	static const struct name words[] = { NAME("127.0.0.1"), NAME("localhost"), NAME("[::1]"), { NULL, 0 } };
	return at && p[at - 1] == ':' ? number_behind(p, n, at, words, PORT) : 0;
}

static size_t match_duration(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	static const char *const units[] = { "ms", "us", "ns", "s", "sec", "secs", "second", "seconds", "millisecond", "milliseconds", NULL };
	if (!digit(p, n, at) || !begins_word(p, at) || (at && strchr(".-/:", p[at - 1])))
		return 0;
	size_t i = at + digits(p, n, at);
	bool fraction = i < n && p[i] == '.' && digit(p, n, i + 1);
	if (fraction)
		i += 1 + digits(p, n, i + 1);
	bool space = i < n && p[i] == ' ';
	if (i + space >= n || !strchr("mnsu", p[i + space]))
		return 0;
	for (const char *const *u = units; *u; u++) {
		size_t k = strlen(*u);
		/* "3 s" may be anything: a bare letter wants a fraction or no space */
		if (has(p, n, i + space, *u) && !word(p, n, i + space + k) && (k > 1 || fraction || !space))
			return i + space + k - at;
	}
	return 0;
}

/* Of a name with something of the run in it, what stands behind `from`, until `to`: bytes of words and '-'. */
static size_t between(const char *p, size_t n, size_t at, const char *from, const char *to)
{
	size_t i = at + strlen(from), first = i;
	if (!has(p, n, at, from))
		return 0;
	while (i < n && (word_byte[(unsigned char)p[i]] || (p[i] == '-' && !has(p, n, i, to))))
		i++;
	return i > first && has(p, n, i, to) && !word(p, n, i + strlen(to)) ? i + strlen(to) - at : 0;
}

/* Of its attribution line; what its shell's commands have: snapshot-bash-<time>-<chance>.sh, claude-<chance>-cwd, the end of a text in them. */
static size_t match_claude(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	static const char *const words[] = { "cch=", "cc_prompt_id=", "CLAUDE_CODE_END_", NULL };
	if (!begins_word(p, at))
		return 0;
	for (const char *const *w = words; *w; w++) {
		size_t k = strlen(*w), i = at + k;
		if (!has(p, n, at, *w))
			continue;
		while (word(p, n, i) || (i < n && p[i] == '-'))
			i++;
		return i > at + k ? i - at : 0;
	}
	size_t k = at && p[at - 1] == '/' ? between(p, n, at, "snapshot-", ".sh") : 0;
	return k ? k : at && p[at - 1] == '/' ? between(p, n, at, "claude-", "-cwd") : 0;
}

static size_t match_codex(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	static const char words[] = "Chunk ID: ";
	size_t i = at + sizeof words - 1;
	if (!begins_word(p, at) || !has(p, n, at, words))
		return 0;
	while (i < n && isxdigit((unsigned char)p[i]))
		i++;
	return i > at + sizeof words - 1 && !word(p, n, i) ? i - at : 0;
}

/* ".claude/projects/-home-u-work", ".gemini/tmp/work": a home's directory for the project, whose name is made of the project's own. */
static size_t match_project(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	static const char *const places[] = { ".claude/projects/", ".gemini/tmp/", NULL };
	for (const char *const *w = places; *w; w++) {
		size_t k = strlen(*w), i = at + k;
		if (!has(p, n, at, *w) || !at || p[at - 1] != '/')
			continue;
		while (i < n && (word_byte[(unsigned char)p[i]] || p[i] == '-' || (p[i] == '.' && word(p, n, i + 1))))
			i++;
		return i > at + k ? i - at : 0;
	}
	return 0;
}

/* ESC [ … letter, and ESC ] … BEL or ESC \: colours and titles, which depend on whether there was a terminal. */
static size_t match_ansi(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	size_t i = at + 2;
	if (p[at] != 0x1b || i >= n)
		return 0;
	if (p[at + 1] == '[') {
		while (i < n && i - at < 40 && p[i] >= 0x20 && p[i] < 0x40)
			i++;
		return i < n && p[i] >= 0x40 && p[i] < 0x7f ? i + 1 - at : 0;
	}
	while (p[at + 1] == ']' && i < n && i - at < 400 && p[i] != 7 && p[i] != 0x1b)
		i++;
	return p[at + 1] != ']' || i >= n ? 0 : p[i] == 7 ? i + 1 - at : i + 1 < n && p[i + 1] == '\\' ? i + 2 - at : 0;
}

/* "Nov 24 10:02" or "Nov 24  2025" behind a size, as ls -l prints. */
static size_t match_ls(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	static const char *const months[] = { "Jan ", "Feb ", "Mar ", "Apr ", "May ", "Jun ", "Jul ", "Aug ", "Sep ", "Oct ", "Nov ", "Dec ", NULL };
	const char *const *m = months;
	if (at < 2 || p[at - 1] != ' ' || !isalnum((unsigned char)p[at - 2]) || !(isdigit((unsigned char)p[at - 2]) || strchr("KMGT", p[at - 2])))
		return 0;
	while (*m && !has(p, n, at, *m))
		m++;
	size_t i = at + 4, d;
	if (!*m)
		return 0;
	i += i < n && p[i] == ' ';
	d = digits(p, n, i);
	if (!d || d > 2 || i + d >= n || p[i + d] != ' ')
		return 0;
	i += d + 1;
	size_t time = clock_at(p, n, i);
	if (time)
		return i + time - at;
	i += i < n && p[i] == ' ';
	return digits(p, n, i) == 4 && !word(p, n, i + 4) ? i + 4 - at : 0;
}

static size_t hex_digits(const char *p, size_t n, size_t i)
{
	size_t k = 0, letters = 0;
	for (; i + k < n && k <= 40 && hex_byte[(unsigned char)p[i + k]] && !(p[i + k] >= 'A' && p[i + k] <= 'F'); k++)
		letters += p[i + k] >= 'a';
	return k >= 7 && k <= 40 && letters && letters < k && !word(p, n, i + k) ? k : 0;
}

/* An object's name where git prints one: behind "commit", "index", "HEAD is now at" …, in "[main 1a2b3c4]", in a range, or first in a line. */
static size_t match_git(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	static const char *const before[] = { "commit ", "index ", "HEAD is now at ", "tree ", "parent ", "Merge: ", "Updating ", "root-commit) ", "..", NULL };
	size_t k = begins_word(p, at) ? hex_digits(p, n, at) : 0;
	if (!k)
		return 0;
	if (!at || p[at - 1] == '\n')
		return at + k < n && strchr(" \n", p[at + k]) ? k : 0;
	if (has(p, n, at + k, "..") || (at > 1 && p[at - 1] == 'n' && p[at - 2] == '\\'))
		return k;
	for (const char *const *w = before; *w; w++)
		if (at >= strlen(*w) && !memcmp(p + at - strlen(*w), *w, strlen(*w)))
			return k;
	/* [branch 1a2b3c4] */
	size_t i = at - 1;
	if (p[i] != ' ' || at + k >= n || p[at + k] != ']')
		return 0;
	while (i && at - i < 200 && !strchr("[]\n", p[i]))
		i--;
	return p[i] == '[' ? k : 0;
}

/* What servers and agents call calls and answers: toolu_01AbC…, call_…, chatcmpl-…, req_…: sixteen letters and digits or more. */
static size_t match_id(const struct vcr_normal_context *c, const char *p, size_t n, size_t at)
{
	static const char *const c_[] = { "call_", "chatcmpl-", "chatcmpl_", "ctc_", NULL }, *const f_[] = { "fc_", NULL }, *const m_[] = { "msg_", NULL };
	static const char *const r_[] = { "resp_", "req_", "rs_", "run_", NULL }, *const s_[] = { "srvtoolu_", NULL }, *const t_[] = { "toolu_", NULL };
	if (!begins_word(p, at))
		return 0;
	const char *const *prefixes = p[at] == 'c' ? c_ : p[at] == 'f' ? f_ : p[at] == 'm' ? m_ : p[at] == 'r' ? r_ : p[at] == 's' ? s_ : t_;
	for (const char *const *w = prefixes; *w; w++)
		if (has(p, n, at, *w)) {
			size_t k = strlen(*w), from = k, number = 0;
			for (; at + k < n && isalnum((unsigned char)p[at + k]); k++)
				number += isdigit((unsigned char)p[at + k]) != 0;
			return k - from >= 16 && number && !word(p, n, at + k) ? k : 0;
		}
	return 0;
}

const struct vcr_normaliser vcr_normalisers[] = {
	{ "uuid", 2, match_uuid }, { "ls", 1, match_ls }, { "date", 2, match_date }, { "cwd", 2, match_cwd }, { "workspace", 1, match_workspace }, { "home", 2, match_home }, { "tmp", 2, match_tmp },
	{ "pid", 3, match_pid }, { "port", 2, match_port }, { "duration", 2, match_duration }, { "claude", 3, match_claude },
	{ "ansi", 1, match_ansi }, { "git", 2, match_git }, { "id", 2, match_id }, { "codex", 2, match_codex }, { "project", 1, match_project }, { NULL, 0, NULL },
};

/* Which of them may begin with a byte. */
static const uint16_t begins[256] = {
	['0' ... '9'] = UUID | DATE | PID | PORT | DURATION | GIT,
	['a'] = UUID | GIT, ['b'] = UUID | GIT, ['c'] = UUID | GIT | CLAUDE | ID, ['d'] = UUID | GIT, ['e'] = UUID | GIT, ['f'] = UUID | GIT | ID,
	['A'] = UUID | LS | DATE, ['B'] = UUID, ['C'] = UUID | CLAUDE | CODEX, ['D'] = UUID | LS | DATE, ['E'] = UUID, ['F'] = UUID | LS | DATE,
	['J'] = LS | DATE, ['M'] = LS | DATE, ['N'] = LS | DATE, ['O'] = LS | DATE, ['S'] = LS | DATE, ['T'] = DATE, ['W'] = DATE,
	['m'] = ID, ['r'] = ID, ['s'] = CLAUDE | ID, ['t'] = ID, ['/'] = DIRECTORIES, ['.'] = PROJECT, [0x1b] = ANSI,
};

/* Behind a letter: with which one those that are names go on, bits by its last five. */
enum { NAMES = LS | DATE | CLAUDE | ID | CODEX };
#define L(letter) (1u << ((letter) & 31))
static const uint32_t second[256] = {
	['c'] = L('a') | L('c') | L('h') | L('l') | L('t'), ['f'] = L('c'), ['m'] = L('s'), ['r'] = L('e') | L('s') | L('u'), ['s'] = L('n') | L('r'), ['t'] = L('o'),
	['A'] = L('p') | L('u'), ['C'] = L('L') | L('h'), ['D'] = L('e'), ['F'] = L('e') | L('r'), ['J'] = L('a') | L('u'), ['M'] = L('a') | L('o'), ['N'] = L('o'), ['O'] = L('c'),
	['S'] = L('a') | L('e') | L('u'), ['T'] = L('h') | L('u'), ['W'] = L('e'),
};
#undef L
/* Behind a digit. */
static const uint16_t behind_digit[256] = {
	['0' ... '9'] = DATE | DURATION, [' '] = DATE | DURATION, [','] = DATE, ['-'] = DATE, ['.'] = DURATION, ['m'] = DURATION, ['n'] = DURATION, ['s'] = DURATION, ['u'] = DURATION,
};

/* Those that may be at p[at]: most words and numbers are nothing, which their first bytes say. */
static unsigned may_be(const char *p, size_t n, size_t at)
{
	unsigned char c = (unsigned char)p[at], next = at + 1 < n ? (unsigned char)p[at + 1] : 0;
	unsigned may = begins[c];
	if (may & (UUID | GIT) && !(at + 6 < n && hex_byte[next] && hex_byte[(unsigned char)p[at + 6]]))
		may &= ~(unsigned)(UUID | GIT);
	if (may & PORT)
		may &= UUID | GIT | behind_digit[next] | (at ? before_number[(unsigned char)p[at - 1]] : 0);
	else if (may & NAMES && !(next >= 64 && second[c] >> (next & 31) & 1))
		may &= ~(unsigned)NAMES;
	else if (may & PROJECT && !(at && p[at - 1] == '/'))
		may = 0;
	return may;
}

int vcr_normal_names(const struct vcr_normal_user *user, struct vcr_buf *out)
{
	for (const struct vcr_normaliser *m = vcr_normalisers; m->name; m++)
		vcr_buf_printf(out, "%s%s/%d", m == vcr_normalisers ? "" : " ", m->name, m->version);
	vcr_buf_printf(out, " %s/%d", VCR_NORMAL_ORDER_NAME, VCR_NORMAL_ORDER_VERSION);
	return vcr_normal_user_names(user, out);
}

void vcr_normal_scan_init(struct vcr_normal_scan *s, const struct vcr_normal_context *c, const char *p, size_t n)
{
	*s = (struct vcr_normal_scan){ .c = c, .p = p, .n = n, .spans = VCR_BUF_INIT };
	if (c->user)
		vcr_normal_user_find(c->user, p, n, &s->spans);
}

void vcr_normal_scan_release(struct vcr_normal_scan *s)
{
	vcr_buf_release(&s->spans);
}

/* Mostly the byte behind the slash decides. */
static bool may_be_directory(const struct vcr_normal_scan *s, size_t at)
{
	const char *const dir[] = { s->c->cwd, s->c->workspace, s->c->home, s->c->tmp };
	for (int i = 0; i < 4 && at + 1 < s->n; i++)
		if (dir[i] && dir[i][0] == '/' && dir[i][1] == s->p[at + 1])
			return true;
	return false;
}

/* One of the built-in ones at p[at]? */
static bool match_at(struct vcr_normal_scan *s, size_t at)
{
	unsigned may = may_be(s->p, s->n, at);
	if (may & DIRECTORIES && !may_be_directory(s, at))
		return false;
	for (; may; may &= may - 1) {
		s->by = &vcr_normalisers[__builtin_ctz(may)];
		if ((s->len = s->by->match(s->c, s->p, s->n, at))) {
			s->name = s->by->name;
			return true;
		}
	}
	return false;
}

/* The next place at or behind `at` where one of them may begin: none does inside a word. */
static size_t next_place(const char *p, size_t n, size_t at)
{
	if (!begins_word(p, at))
		while (at < n && word_byte[(unsigned char)p[at]])
			at++;
	while (at < n && !(begins[(unsigned char)p[at]] && may_be(p, n, at))) {
		unsigned char c = (unsigned char)p[at++];
		if (c == '\\' && at < n && is_escaped(p[at]))
			at++;
		else if (word_byte[c])
			while (at < n && word_byte[(unsigned char)p[at]])
				at++;
	}
	return at;
}

bool vcr_normal_scan_next(struct vcr_normal_scan *s)
{
	const struct vcr_normal_span *span = (const struct vcr_normal_span *)s->spans.data, *end = span + s->spans.len / sizeof *span;
	for (span += s->span; s->at < s->n; s->at++) {
		while (span < end && span->at < s->at)
			span++; /* begins in something that was found already */
		s->at = next_place(s->p, span < end ? span->at : s->n, s->at);
		bool user = span < end && span->at == s->at;
		if (user) {
			s->by = NULL;
			s->name = span->name;
			s->len = span->len;
		}
		if (user || (s->at < s->n && match_at(s, s->at))) {
			s->found = s->at;
			s->at += s->len;
			s->span = (size_t)(span - (const struct vcr_normal_span *)s->spans.data);
			return true;
		}
	}
	return false;
}

int vcr_normal_text(const struct vcr_normal_context *c, const char *p, size_t n, struct vcr_buf *out)
{
	struct vcr_normal_scan s;
	size_t done = 0;
	vcr_normal_scan_init(&s, c, p, n);
	while (vcr_normal_scan_next(&s)) {
		vcr_buf_add(out, p + done, s.found - done);
		if (!s.by || s.by->match != match_ansi) { /* with a terminal or without: the same words */
			vcr_buf_add(out, "{{vcr:", 6);
			vcr_buf_puts(out, s.name);
			vcr_buf_add(out, "}}", 2);
		}
		done = s.found + s.len;
	}
	int err = s.spans.err;
	vcr_normal_scan_release(&s);
	return err ? err : vcr_buf_add(out, p + done, n - done);
}

/* ---- Volatile fields ---- */

/* "*" is any one step. */
static const struct { enum vcr_api api; const char *pointer; } volatile_fields[] = {
	{ VCR_API_ANTHROPIC_MESSAGES, "/metadata/user_id" },
	{ VCR_API_OPENAI_RESPONSES, "/prompt_cache_key" },
	{ VCR_API_OPENAI_RESPONSES, "/client_metadata" },
	{ VCR_API_OPENAI_RESPONSES, "/input/*/id" },
	{ VCR_API_OPENAI_RESPONSES, "/turn_id" },
	{ VCR_API_OPENAI_RESPONSES, "/input/*/internal_chat_message_metadata_passthrough/create_time" },
	{ VCR_API_OPENAI_CHAT, "/prompt_cache_key" },
	{ VCR_API_GEMINI_GENERATE, "/user_prompt_id" },
	{ VCR_API_GEMINI_GENERATE, "/request/session_id" },
	/* gemini-cli makes them of the time where the model gives none; order and names say which answers which */
	{ VCR_API_GEMINI_GENERATE, "/contents/*/parts/*/functionCall/id" },
	{ VCR_API_GEMINI_GENERATE, "/contents/*/parts/*/functionResponse/id" },
	{ VCR_API_GEMINI_GENERATE, "/request/contents/*/parts/*/functionCall/id" },
	{ VCR_API_GEMINI_GENERATE, "/request/contents/*/parts/*/functionResponse/id" },
};

static bool pointer_is(const char *pointer, const char *pattern)
{
	for (; *pattern; pattern++) {
		if (*pattern == '*') {
			size_t n = strcspn(pointer, "/");
			if (!n)
				return false;
			pointer += n;
		} else if (*pointer++ != *pattern) {
			return false;
		}
	}
	return !*pointer;
}

bool vcr_normal_is_volatile(enum vcr_api api, const char *pointer)
{
	for (size_t i = 0; i < sizeof volatile_fields / sizeof *volatile_fields; i++)
		if (volatile_fields[i].api == api && pointer_is(pointer, volatile_fields[i].pointer))
			return true;
	return false;
}

/* ---- Bodies ---- */

/* Written in canonical order at once. */
struct writing {
	const struct vcr_normal_context *c;
	enum vcr_api api;
	const struct vcr_json *j;
	struct vcr_jw w;
	struct vcr_buf path, text;   /* text: of the string that is being written */
	bool skills;                 /* inside the tool that names them */
	struct vcr_normal_cache *kept; /* NULL: none */
	uint64_t mark;
};

static int write_value(struct writing *x, int v);

static bool path_ends(const struct writing *x, const char *end)
{
	size_t n = strlen(end);
	return x->path.len >= n && !memcmp(x->path.data + x->path.len - n, end, n);
}

static int write_members(struct writing *x, int v)
{
	VCR_AUTO_MEMBERS l = VCR_JSON_MEMBERS_INIT;
	size_t before = x->path.len;
	bool tool = x->api == VCR_API_GEMINI_GENERATE && path_ends(x, "/functionDeclarations/0");
	int err = vcr_json_members(x->j, v, &l);
	if (tool)
		x->skills = vcr_normal_order_is_tool(x->j, v);
	vcr_jw_object(&x->w);
	for (size_t i = 0; i < l.n && !err; i++) {
		vcr_buf_putc(&x->path, '/');
		vcr_buf_add(&x->path, l.m[i].key, l.m[i].n);
		if (!vcr_normal_is_volatile(x->api, x->path.data)) {
			vcr_jw_strn(&x->w, l.m[i].key, l.m[i].n);
			vcr_buf_putc(x->w.out, ':');
			x->w.after_key = true;
			err = write_value(x, vcr_json_value(x->j, l.m[i].at));
		}
		vcr_buf_cut(&x->path, before);
	}
	vcr_jw_object_end(&x->w);
	x->skills = x->skills && !tool;
	return err;
}

/* Strings, in order. 1: they are no such list, and nothing is written. */
static int write_sorted(struct writing *x, int v)
{
	int item[VCR_MAX_ORDERED], err = 0;
	size_t n;
	if (!vcr_normal_order_items(x->j, v, item, &n))
		return 1;
	vcr_jw_array(&x->w);
	for (size_t i = 0; i < n && !err; i++)
		err = write_value(x, item[i]);
	vcr_jw_array_end(&x->w);
	return err;
}

static int write_items(struct writing *x, int v)
{
	size_t before = x->path.len;
	int err = x->skills && path_ends(x, "/name/enum") ? write_sorted(x, v) : 1;
	if (err <= 0)
		return err;
	err = 0;
	vcr_jw_array(&x->w);
	vcr_buf_puts(&x->path, "/0"); /* which of them is all the same */
	for (int m = vcr_json_first(x->j, v); m >= 0 && !err; m = vcr_json_next(x->j, m))
		err = write_value(x, m);
	vcr_buf_cut(&x->path, before);
	vcr_jw_array_end(&x->w);
	return err;
}

/* raw: with its quotes. */
static int write_anew(struct writing *x, int v, const char *raw, size_t n)
{
	VCR_AUTO_BUF unescaped = VCR_BUF_INIT;
	vcr_buf_reset(&x->text);
	if (memchr(raw, '\\', n)) {
		vcr_json_str(x->j, v, &unescaped);
		vcr_normal_text(x->c, unescaped.data, unescaped.len, &x->text);
	} else {
		vcr_normal_text(x->c, raw + 1, n - 2, &x->text);
	}
	if (x->api == VCR_API_GEMINI_GENERATE)
		vcr_normal_order_text(&x->text);
	vcr_jw_strn(&x->w, x->text.data, x->text.len);
	return unescaped.err ? unescaped.err : x->text.err;
}

static int write_string(struct writing *x, int v)
{
	size_t n, nform, before = x->w.out->len;
	const char *raw = vcr_json_raw(x->j, v, &n), *form;
	if (!x->kept || n < VCR_NORMAL_KEPT_LEAST)
		return write_anew(x, v, raw, n);
	if ((form = vcr_normal_cache_find(x->kept, x->mark, raw, n, &nform))) {
		vcr_jw_raw(&x->w, form, nform);
		return 0;
	}
	int err = write_anew(x, v, raw, n);
	if (err || x->w.out->err)
		return err;
	before += x->w.out->data[before] == ',';
	vcr_normal_cache_keep(x->kept, x->mark, raw, n, x->w.out->data + before, x->w.out->len - before);
	return 0;
}

static int write_value(struct writing *x, int v)
{
	switch (vcr_json_type(x->j, v)) {
	case VCR_JSON_OBJECT: return write_members(x, v);
	case VCR_JSON_ARRAY: return write_items(x, v);
	case VCR_JSON_STRING: return write_string(x, v);
	default: vcr_jw_value(&x->w, x->j, v); return 0;
	}
}

int vcr_normal_json(const struct vcr_normal_context *c, enum vcr_api api, const struct vcr_json *j, struct vcr_normal_cache *kept, struct vcr_buf *out)
{
	struct writing x = { .c = c, .api = api, .j = j, .path = VCR_BUF_INIT, .text = VCR_BUF_INIT, .kept = c->user ? NULL : kept };
	x.mark = (uint64_t)(uintptr_t)c << 1 | (api == VCR_API_GEMINI_GENERATE); /* a context is no odd address, and one API has its lists sorted */
	vcr_jw_init(&x.w, out);
	int err = write_value(&x, 0);
	err = err ? err : x.path.err ? x.path.err : out->err;
	vcr_buf_release(&x.path);
	vcr_buf_release(&x.text);
	return err;
}
