#include "replay.h"
#include "tap.h"
#include <string.h>

static void expect(enum vcr_api api, const char *pointer, const char *want)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	ck_assert_int_eq(vcr_replay_envelope(api, 400, "say \"no\"", pointer, &out), 0);
	ck_assert_str_eq(out.data, want);
}

START_TEST(each_provider_hears_an_error_in_its_own_form)
{
	expect(VCR_API_OPENAI_CHAT, "/model", "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"say \\\"no\\\"\",\"param\":\"/model\",\"code\":\"vcr_replay_miss\"}}");
	expect(VCR_API_OPENAI_RESPONSES, "", "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"say \\\"no\\\"\",\"param\":null,\"code\":\"vcr_replay_miss\"}}");
	expect(VCR_API_ANTHROPIC_MESSAGES, "/model", "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"say \\\"no\\\"\"}}");
	expect(VCR_API_GEMINI_GENERATE, NULL, "{\"error\":{\"code\":400,\"message\":\"say \\\"no\\\"\",\"status\":\"INVALID_ARGUMENT\"}}");
}
END_TEST

static TCase *replay(void)
{
	TCase *tc = tcase_create("replay");
	tcase_add_test(tc, each_provider_hears_an_error_in_its_own_form);
	return tc;
}

TAP_MAIN("replay", replay)
