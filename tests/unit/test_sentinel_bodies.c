#include "sentinel-bodies.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned state;

static unsigned chance(unsigned n)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

/* Functions one behind the other, some with a body that others have, some within the one before. */
static size_t some(struct vcr_scanned_function *f, size_t most, unsigned bodies)
{
	static const char *const names[] = { "a", "b", "C.m", "d" };
	size_t n = chance((unsigned)most + 1);
	for (size_t i = 0; i < n; i++) {
		uint64_t body = chance(bodies);
		f[i] = (struct vcr_scanned_function){ .name = names[chance(4)], .start_line = (uint32_t)i * 10 + 1, .end_line = (uint32_t)i * 10 + (chance(5) ? 8 : 18), .tokens = 20 + 15 * (unsigned)(body % 4),
			.body = body * 100 + chance(2), .body_renamed = body, .plain = chance(8) > 0 };
	}
	return n;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The findings about a path, sorted, a line each. */
static void list(const struct vcr_findings *f, const char *path, struct vcr_buf *out)
{
	char *line[2000];
	size_t n = 0;
	for (size_t i = 0; i < f->n && n < 2000; i++)
		if (!strcmp(f->item[i].path, path))
			ck_assert(asprintf(&line[n++], "%u-%u %s\n", f->item[i].start_line, f->item[i].end_line, f->item[i].message) > 0);
	qsort(line, n, sizeof *line, compare);
	for (size_t i = 0; i < n; i++) {
		vcr_buf_puts(out, line[i]);
		free(line[i]);
	}
}

START_TEST(what_is_found_file_by_file_is_what_is_found_among_all_at_once)
{
	enum { FILES = 12, MOST = 30 };
	static struct vcr_scanned_function f[FILES][MOST];
	struct vcr_scanned_file file[FILES];
	struct vcr_scanned all = { .file = file, .n = FILES };
	struct vcr_bodies *b = vcr_bodies_new();
	struct vcr_policy p;
	char path[FILES][8];
	size_t found = 0;
	ck_assert_ptr_nonnull(b);
	vcr_policy_preset("default", &p);
	for (int i = 0; i < FILES; i++) {
		snprintf(path[i], sizeof path[i], "f%02d", i);
		file[i] = (struct vcr_scanned_file){ .path = path[i], .language = 0, .function = f[i] };
	}
	for (int round = 0; round < 300; round++) {
		VCR_AUTO_FINDINGS one = VCR_FINDINGS_INIT, whole = VCR_FINDINGS_INIT;
		VCR_AUTO_BUF said = VCR_BUF_INIT, wanted = VCR_BUF_INIT;
		struct vcr_scanned_file last = file[chance(FILES)];
		size_t at = 0;
		while (strcmp(file[at].path, last.path))
			at++;
		memmove(&file[at], &file[at + 1], (FILES - at - 1) * sizeof *file); /* the file that came last stands last */
		last.nfunction = some(last.function, MOST, 40);
		last.language = (int)chance(2);
		file[FILES - 1] = last;
		ck_assert_int_eq(vcr_bodies_put(b, last.path, last.language, last.function, last.nfunction), 0);
		ck_assert_int_eq(vcr_bodies_duplicates(b, &p, last.path, &one), 0);
		ck_assert_int_eq(vcr_duplicates(&p, &all, &whole), 0);
		list(&one, last.path, &said);
		list(&whole, last.path, &wanted);
		ck_assert_str_eq(said.data, wanted.data);
		found += one.n;
	}
	ck_assert_uint_gt(found, 300);
	vcr_bodies_free(b);
}
END_TEST

static void note(void *ctx, const char *path)
{
	strcat(ctx, path);
	strcat(ctx, " ");
}

START_TEST(files_that_have_a_body_too_are_said_and_those_that_had_it_are_not)
{
	struct vcr_scanned_function f = { .name = "f", .start_line = 1, .end_line = 9, .tokens = 40, .body = 7, .body_renamed = 7, .plain = true }, stub = f, tiny = f;
	struct vcr_bodies *b = vcr_bodies_new();
	char said[64] = "";
	stub.plain = false;
	tiny.tokens = VCR_SAME_TOKENS - 1;
	vcr_bodies_put(b, "a", 0, &f, 1);
	vcr_bodies_put(b, "b", 0, &f, 1);
	vcr_bodies_put(b, "c", 0, &stub, 1);
	vcr_bodies_put(b, "d", 0, &tiny, 1);
	vcr_bodies_put(b, "e", 0, &f, 1);
	vcr_bodies_put(b, "b", 0, NULL, 0);
	vcr_bodies_others(b, &f, 1, 9, note, said);
	ck_assert_str_eq(said, "a e ");
	*said = 0;
	vcr_bodies_others(b, &f, 1, 1, note, said);
	ck_assert_str_eq(said, "a ");
	*said = 0;
	vcr_bodies_others(b, &stub, 1, 9, note, said);
	ck_assert_str_eq(said, "");
	vcr_bodies_free(b);
}
END_TEST

/* Counted, not timed: with 20 times as many files a write costs the same. */
START_TEST(a_write_looks_at_its_own_functions_however_many_there_are)
{
	enum { OWN = 20, WRITES = 50 };
	struct vcr_scanned_function f[OWN];
	struct vcr_policy p;
	char path[32];
	vcr_policy_preset("default", &p);
	for (unsigned files = 100; files <= 2000; files *= 20) {
		VCR_AUTO_FINDINGS found = VCR_FINDINGS_INIT;
		struct vcr_bodies *b = vcr_bodies_new();
		for (unsigned i = 0; i < files; i++) {
			for (unsigned k = 0; k < OWN; k++)
				f[k] = (struct vcr_scanned_function){ .name = "f", .start_line = k * 10 + 1, .end_line = k * 10 + 9, .tokens = 99, .body = i * OWN + k, .body_renamed = k ? i * OWN + k : 0, .plain = true };
			snprintf(path, sizeof path, "src/%u", i);
			vcr_bodies_put(b, path, 0, f, OWN); /* the first one of each has the same hash as that of all others */
		}
		size_t before = vcr_bodies_looked(b);
		for (unsigned i = 0; i < WRITES; i++) {
			char others[64 * 32] = "";
			vcr_bodies_others(b, f, OWN, 64, note, others);
			vcr_bodies_put(b, path, 0, f, OWN);
			ck_assert_int_eq(vcr_bodies_duplicates(b, &p, path, &found), 0);
		}
		size_t each = (vcr_bodies_looked(b) - before) / WRITES;
		ck_assert_msg(each <= OWN * 4 + 2 * VCR_MOST_PLACES, "%zu functions are looked at for a write among %u files", each, files);
		vcr_bodies_free(b);
	}
}
END_TEST

static TCase *tc_sentinel_bodies(void)
{
	TCase *tc = tcase_create("sentinel-bodies");
	tcase_add_test(tc, what_is_found_file_by_file_is_what_is_found_among_all_at_once);
	tcase_add_test(tc, files_that_have_a_body_too_are_said_and_those_that_had_it_are_not);
	tcase_add_test(tc, a_write_looks_at_its_own_functions_however_many_there_are);
	return tc;
}

TAP_MAIN("sentinel-bodies", tc_sentinel_bodies)
