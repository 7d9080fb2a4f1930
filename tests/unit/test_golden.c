#include "golden.h"
#include "ledger.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/vcr-golden-XXXXXX";

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
}

static void teardown(void)
{
	char cmd[64];
	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	ck_assert_int_eq(system(cmd), 0);
	strcpy(strrchr(top, '-'), "-XXXXXX");
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void ck_file(const char *path, const char *text)
{
	char got[4096] = "";
	FILE *f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s is missing", path);
	got[fread(got, 1, sizeof got - 1, f)] = 0;
	fclose(f);
	ck_assert_str_eq(got, text);
}

/* What ai-agent-vcr 0.6.0 and 1.5.4 give for the same words (their GoldenRunCache._fingerprint). */
static const struct { const char *task, *pair[3], *fingerprint; } known[] = {
	{ "Build a REST API with JWT auth", { NULL }, "8eba4d1d5855a5ab" },
	{ "\t build a rest api WITH jwt auth\n", { NULL }, "8eba4d1d5855a5ab" },
	{ "\xe2\x80\x83\xc3\x84rger \xc4\xb0 \xce\xa3\xce\x91\xce\xa3\xc2\xa0", { NULL }, "63a8519207f55c25" },
	{ "task", { "model=gpt-4o", "commit=abc", NULL }, "62e893d9c43fd722" },
	{ "task", { "commit=abc", "model=gpt-4o", NULL }, "62e893d9c43fd722" },
	{ "Task \xe2\x82\xac \"x\"\\", { "k=\xf0\x9f\x98\x80 =\n", NULL }, "567a270fa19efa0e" },
};

START_TEST(a_fingerprint_is_the_one_that_ai_agent_vcr_gives)
{
	char got[VCR_FINGERPRINT];
	VCR_AUTO_BUF identity = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_golden_identity(known[_i].pair, &identity, NULL), 0);
	ck_assert_int_eq(vcr_golden_fingerprint(known[_i].task, identity.data, got, NULL), 0);
	ck_assert_str_eq(got, known[_i].fingerprint);
}
END_TEST

START_TEST(a_task_without_words_or_an_identity_that_is_none_is_refused)
{
	static const char *const wrong[][3] = { { "novalue" }, { "=v" }, { "a=1", "a=2" } };
	char got[VCR_FINGERPRINT] = "kept";
	struct vcr_error e;
	ck_assert_int_eq(vcr_golden_fingerprint(" \n\t", "{}", got, &e), VCR_EINVAL);
	ck_assert_int_eq(vcr_golden_fingerprint("a\xff", "{}", got, &e), VCR_EINVAL);
	ck_assert_str_eq(got, "kept");
	for (size_t i = 0; i < 3; i++) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		ck_assert_int_eq(vcr_golden_identity(wrong[i], &b, &e), VCR_EINVAL);
	}
}
END_TEST

START_TEST(a_run_is_kept_listed_replaced_and_removed)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	write_file("one", "first\n");
	write_file("two", "second\n");
	ck_assert_int_eq(vcr_golden_remove(".vcr", "0123456789abcdef", NULL), 1);
	ck_assert_int_eq(vcr_golden_put(".vcr", "0123456789abcdef", "one", "{\"task\":\"a\"}", NULL), 0);
	ck_assert_int_eq(vcr_golden_put(".vcr", "fedcba9876543210", "two", "{\"task\":\"b\"}", NULL), 0);
	ck_file(".vcr/golden/0123456789abcdef.vcr", "first\n");
	ck_assert_int_eq(vcr_golden_put(".vcr", "0123456789abcdef", "two", "{\"task\":\"c\"}", NULL), 0);
	ck_file(".vcr/golden/0123456789abcdef.vcr", "second\n");
	ck_assert_int_eq(vcr_golden_index(".vcr", &text, &j, NULL), 0);
	ck_assert_int_eq(vcr_json_count(&j, 0), 2);
	ck_assert(vcr_json_is(&j, vcr_json_path(&j, vcr_json_get(&j, 0, "0123456789abcdef"), "task"), "c"));
	ck_assert_int_eq(vcr_golden_remove(".vcr", "0123456789abcdef", NULL), 0);
	ck_assert_int_ne(access(".vcr/golden/0123456789abcdef.vcr", F_OK), 0);
	ck_file(".vcr/golden/index.json", "{\n\"fedcba9876543210\": {\"task\":\"b\"}\n}\n");
}
END_TEST

START_TEST(entries_and_members_that_others_wrote_are_kept)
{
	mkdir(".vcr", 0700);
	mkdir(".vcr/golden", 0700);
	write_file("one", "x\n");
	write_file(".vcr/golden/index.json", "{\"odd\": [1.50, NaN], \"aaaaaaaaaaaaaaaa\": {\"mine\": \"\\u00e9\"}}");
	ck_assert_int_eq(vcr_golden_put(".vcr", "0123456789abcdef", "one", "{}", NULL), 0);
	ck_file(".vcr/golden/index.json", "{\n\"odd\": [1.50,null],\n\"aaaaaaaaaaaaaaaa\": {\"mine\":\"\\u00e9\"},\n\"0123456789abcdef\": {}\n}\n");
}
END_TEST

START_TEST(a_damaged_index_is_named_and_nothing_is_changed)
{
	struct vcr_error e = { 0 };
	mkdir(".vcr", 0700);
	mkdir(".vcr/golden", 0700);
	write_file("one", "x\n");
	write_file(".vcr/golden/index.json", "{\"a\":");
	ck_assert_int_eq(vcr_golden_put(".vcr", "0123456789abcdef", "one", "{}", &e), VCR_ESYNTAX);
	ck_assert_msg(strstr(e.what, "index.json is damaged") != NULL, "%s", e.what);
	ck_assert_int_ne(access(".vcr/golden/0123456789abcdef.vcr", F_OK), 0);
	ck_file(".vcr/golden/index.json", "{\"a\":");
}
END_TEST

/* A copy that cannot be made leaves neither a file nor an entry. */
START_TEST(a_session_that_cannot_be_read_is_not_listed)
{
	struct vcr_error e = { 0 };
	ck_assert_int_eq(vcr_golden_put(".vcr", "0123456789abcdef", "missing", "{}", &e), VCR_EIO);
	ck_assert_int_ne(access(".vcr/golden/index.json", F_OK), 0);
	ck_assert_int_ne(access(".vcr/golden/0123456789abcdef.vcr", F_OK), 0);
}
END_TEST

START_TEST(several_processes_save_at_once_and_none_is_lost)
{
	enum { PROCESSES = 8, EACH = 20 };
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	write_file("one", "x\n");
	for (int p = 0; p < PROCESSES; p++)
		if (!fork()) {
			int bad = 0;
			for (int i = 0; i < EACH; i++) {
				char name[VCR_FINGERPRINT];
				snprintf(name, sizeof name, "%08x%08x", p, i);
				bad |= vcr_golden_put(".vcr", name, "one", "{\"task\":\"t\"}", NULL);
			}
			_exit(bad != 0);
		}
	for (int p = 0; p < PROCESSES; p++) {
		int status;
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_eq(vcr_golden_index(".vcr", &text, &j, NULL), 0);
	ck_assert_int_eq(vcr_json_count(&j, 0), PROCESSES * EACH);
}
END_TEST

START_TEST(a_ledger_adds_up_and_takes_no_nonsense)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_ledger l = { 0 };
	struct vcr_jw w;
	ck_assert(vcr_ledger_percent(&l) == 100);
	vcr_ledger_add(&l, &(struct vcr_reader_frame){ .tokens = 100, .cost_usd = 0.25, .latency_ms = 1500 }, 2);
	vcr_ledger_add(&l, &(struct vcr_reader_frame){ .tokens = -1, .cost_usd = -1, .latency_ms = -5 }, 1);
	vcr_ledger_add(&l, &(struct vcr_reader_frame){ .tokens = INT64_MAX, .cost_usd = 1e300, .latency_ms = 1e300 }, 1);
	l.replay.ms = 4;
	vcr_jw_init(&w, &b);
	vcr_ledger_write(&l, &w);
	ck_assert_str_eq(b.data, "{\"original\":{\"tokens\":200,\"cost_usd\":0.5,\"latency_ms\":3000.0},\"replay\":{\"tokens\":0,\"cost_usd\":0.0,\"latency_ms\":4.0},"
		"\"saved\":{\"tokens\":200,\"cost_usd\":0.5,\"time_ms\":2996.0,\"percent\":100.0},\"steps_replayed\":4,\"steps_rerun\":0}");
}
END_TEST

static TCase *tc_golden(void)
{
	TCase *tc = tcase_create("golden");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, a_fingerprint_is_the_one_that_ai_agent_vcr_gives, 0, sizeof known / sizeof *known);
	tcase_add_test(tc, a_task_without_words_or_an_identity_that_is_none_is_refused);
	tcase_add_test(tc, a_run_is_kept_listed_replaced_and_removed);
	tcase_add_test(tc, entries_and_members_that_others_wrote_are_kept);
	tcase_add_test(tc, a_damaged_index_is_named_and_nothing_is_changed);
	tcase_add_test(tc, a_session_that_cannot_be_read_is_not_listed);
	tcase_add_test(tc, several_processes_save_at_once_and_none_is_lost);
	tcase_add_test(tc, a_ledger_adds_up_and_takes_no_nonsense);
	return tc;
}

TAP_MAIN("golden", tc_golden)
