#include "redact.h"
#include "json.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <time.h>

static struct vcr_redact *r;
static struct vcr_buf out = VCR_BUF_INIT;
static unsigned count;

static void setup(void)
{
	r = vcr_redact_new();
	count = 0;
}

static void teardown(void)
{
	vcr_redact_free(r);
	vcr_buf_release(&out);
}

static const char *redactn(const char *p, size_t n)
{
	vcr_buf_reset(&out);
	ck_assert_int_eq(vcr_redact(r, p, n, &out, &count), 0);
	return out.data;
}

static const char *redact(const char *text)
{
	return redactn(text, strlen(text));
}

static const char *events(const char *text)
{
	vcr_buf_reset(&out);
	ck_assert_int_eq(vcr_redact_body(r, text, strlen(text), true, &out, &count), 0);
	return out.data;
}

static void learn(const char *name, const char *value)
{
	ck_assert_int_eq(vcr_redact_learn(r, name, value, strlen(value)), 0);
}

#define SAME(text) ck_assert_str_eq(redact(text), text)

START_TEST(what_stands_for_a_secret_can_be_as_long_as_it)
{
	char value[200], text[400], want[400];
	for (size_t n = 12; n < 150; n++) {
		teardown();
		setup();
		for (size_t i = 0; i < n; i++)
			value[i] = "Qx7#pK2!vB9"[i % 11];
		value[n] = 0;
		learn("KEY", value);
		snprintf(text, sizeof text, "<%s|%s>", value, value);
		char stands[200];
		memset(stands, n < 16 ? '*' : '-', n);
		stands[n] = 0;
		if (n >= 16) {
			memcpy(stands, "{{vcr:secret:", 13);
			memcpy(stands + n - 2, "}}", 2);
		}
		snprintf(want, sizeof want, "<%s|%s>", stands, stands);
		vcr_buf_reset(&out);
		ck_assert_int_eq(vcr_redact_fitted(r, text, strlen(text), &out, &count), 0);
		ck_assert_str_eq(out.data, want);
		ck_assert_uint_eq(count, 2);
		ck_assert_int_eq(vcr_redact_learn(r, "KEY", stands, n), 1); /* heard and said again it is none */
	}
}
END_TEST

START_TEST(a_learnt_value_is_replaced_wherever_it_stands)
{
	learn("openai_api_key", "canary-secret-42");
	static const char *const around[] = { "", "a", "some text before ", "0123456789abcdef", "{\"k\":\"" };
	for (size_t k = 0; k < 5; k++)
		for (int pad = 0; pad < 9; pad++) {
			char text[200], want[200];
			snprintf(text, sizeof text, "%s%.*scanary-secret-42%s", around[k], pad, "........", around[k]);
			snprintf(want, sizeof want, "%s%.*s{{vcr:secret:1:OPENAI_API_KEY}}%s", around[k], pad, "........", around[k]);
			ck_assert_str_eq(redact(text), want);
		}
	ck_assert_uint_eq(count, 45);
	SAME("canary-secret-4");
	SAME("Canary-secret-42");
}
END_TEST

START_TEST(the_same_value_keeps_its_placeholder)
{
	learn("A", "first-secret-value");
	learn("B", "second-secret-value");
	learn("C", "first-secret-value");
	ck_assert_str_eq(redact("second-secret-value first-secret-value"), "{{vcr:secret:2:B}} {{vcr:secret:1:A}}");
}
END_TEST

START_TEST(the_longer_of_two_secrets_wins_and_no_tail_stays)
{
	learn("SHORT", "abcdefghijkl");
	learn("LONG", "abcdefghijklmnop");
	learn("OVER", "ijklmnopqrstuvwx");
	ck_assert_str_eq(redact("abcdefghijklmno"), "{{vcr:secret:1:SHORT}}mno");
	ck_assert_str_eq(redact("abcdefghijklmnop"), "{{vcr:secret:2:LONG}}");
	ck_assert_str_eq(redact("abcdefghijklmnopqrstuvwxyz"), "{{vcr:secret:2:LONG}}yz");
}
END_TEST

START_TEST(base64_is_found_at_every_alignment)
{
	static const char *const values[] = { "canary-key-1", "canary-key-12", "canary-key-123", "canary>?key~~~~" };
	for (size_t v = 0; v < 4; v++) {
		learn("K", values[v]);
		for (int pre = 0; pre < 7; pre++)
			for (int post = 0; post < 4; post++) {
				char plain[100];
				VCR_AUTO_BUF b = VCR_BUF_INIT;
				snprintf(plain, sizeof plain, "%.*s%s%.*s", pre, "user:::", values[v], post, "tail");
				vcr_buf_base64(&b, plain, strlen(plain));
				ck_assert_ptr_nonnull(strstr(redact(b.data), "{{vcr:secret:"));
				for (size_t i = 0; i < b.len; i++)
					b.data[i] = b.data[i] == '+' ? '-' : b.data[i] == '/' ? '_' : b.data[i];
				ck_assert_ptr_nonnull(strstr(redact(b.data), "{{vcr:secret:"));
			}
	}
}
END_TEST

START_TEST(url_encoded_forms_are_found)
{
	learn("PW", "p@ss word/\xc3\xa9=1");
	static const char *const forms[] = { "p%40ss%20word%2F%C3%A9%3D1", "p%40ss%20word%2f%c3%a9%3d1", "p%40ss+word%2F%C3%A9%3D1", "p%40ss%20word/%C3%A9%3D1" };
	for (size_t i = 0; i < 4; i++)
		ck_assert_str_eq(redact(forms[i]), "{{vcr:secret:1:PW}}");
}
END_TEST

START_TEST(json_escaped_forms_are_found_at_two_levels)
{
	learn("PW", "p\"a\\s/w\nrd-\xc3\xa9\xf0\x9f\x98\x80");
	static const char *const forms[] = {
		"p\\\"a\\\\s/w\\nrd-\xc3\xa9\xf0\x9f\x98\x80",
		"p\\\"a\\\\s/w\\nrd-\\u00e9\\ud83d\\ude00",
		"p\\\"a\\\\s/w\\nrd-\\u00E9\\uD83D\\uDE00",
		"p\\\"a\\\\s\\/w\\nrd-\\u00e9\\ud83d\\ude00",
		"p\\\\\\\"a\\\\\\\\s/w\\\\nrd-\\\\u00e9\\\\ud83d\\\\ude00",
		"p\\\\\\\"a\\\\\\\\s/w\\\\nrd-\xc3\xa9\xf0\x9f\x98\x80",
		"p\\\\\\\"a\\\\\\\\s\\\\\\/w\\\\nrd-\\\\u00e9\\\\ud83d\\\\ude00",
	};
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		ck_assert_msg(!strcmp(redact(forms[i]), "{{vcr:secret:1:PW}}"), "%zu %s", i, out.data);
}
END_TEST

START_TEST(json_stays_valid_around_a_replacement)
{
	learn("N", "nabcdefghijklm");
	const char *got = redact("{\"a\":\"x\\nabcdefghijklm\",\"b\":\"nabcdefghijklm\"}");
	ck_assert_str_eq(got, "{\"a\":\"x\\n{{vcr:secret:1:N}}\",\"b\":\"{{vcr:secret:1:N}}\"}");
	ck_assert_int_eq(vcr_json_validate(got, strlen(got), 0, NULL, NULL), 0);
}
END_TEST

START_TEST(what_is_no_secret_is_not_learnt)
{
	static const char *const harmless[] = { "", "short", "12345678901234", "3.14159265358979", "/home/user/keys", "./a/b/c/d/e/f/g", "~/keys/of/mine",
		"claude-sonnet-4-20250514", "gpt-4o-2024-08-06", "https://api.example.com/v1", "****************", "xxxxxxxxxxxxxxxx", "false", "2026-11-24 16:00:00" };
	for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
		ck_assert_msg(vcr_redact_learn(r, "X", harmless[i], strlen(harmless[i])) == 1, "%s", harmless[i]);
	learn("AWS", "/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
}
END_TEST

START_TEST(harmless_variables_redact_nothing)
{
	static const char *const pairs[][2] = { { "TOKENIZERS_PARALLELISM", "false" }, { "MAX_TOKENS", "4096" }, { "SSH_AUTH_SOCK", "/tmp/ssh-XXaa12bb34cc/agent.77" },
		{ "KEYBOARD_LAYOUT", "us-international" }, { "PATH", "/usr/local/bin:/usr/bin" }, { "TOKENIZER", "bert-base-uncased" }, { "SSL_KEY_FILE", "certs/server-main" },
		{ "HOME", "/home/somebody" }, { "LANG", "en_US.UTF-8-long-enough" }, { "PWD", "/home/somebody/work" }, { "TOKEN_URL", "https://auth.example.com/token" } };
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		ck_assert_msg(vcr_redact_learn_env(r, pairs[i][0], pairs[i][1]) == 1, "%s", pairs[i][0]);
	ck_assert_int_eq(vcr_redact_learn_env(r, "OPENAI_API_KEY", "canary-in-the-env"), 0);
	ck_assert_int_eq(vcr_redact_learn_env(r, "DB_PASSWORD", "canary-password"), 0);
	vcr_redact_learn_env(r, "DATABASE_URL", "postgres://me:canary%40in-url@host/db");
	ck_assert_str_eq(redact("canary@in-url, canary%40in-url, canary-password"),
		"{{vcr:secret:3:DATABASE_URL}}, {{vcr:secret:3:DATABASE_URL}}, {{vcr:secret:2:DB_PASSWORD}}");
}
END_TEST

START_TEST(a_dotenv_file_teaches_its_secrets)
{
	static const char text[] = "# comment_KEY=not-this-one-here\nexport API_KEY=\"canary-one-1234\"\nDB_PASSWORD='canary two 1234'\r\nPORT=8080\n"
		"TOKEN = canary-three-33 # why\nPEM_KEY=\"line-one-of-it\nline-two\"\nEMPTY_KEY=\nLAST_SECRET=canary-last-4";
	vcr_redact_learn_dotenv(r, text, strlen(text));
	ck_assert_str_eq(redact("canary-one-1234|canary two 1234|canary-three-33|line-one-of-it\\nline-two|canary-last-4|not-this-one-here"),
		"{{vcr:secret:1:API_KEY}}|{{vcr:secret:2:DB_PASSWORD}}|{{vcr:secret:3:TOKEN}}|{{vcr:secret:4:PEM_KEY}}|{{vcr:secret:5:LAST_SECRET}}|not-this-one-here");
}
END_TEST

START_TEST(what_looks_random_in_a_dotenv_file_is_secret_whatever_its_name)
{
	static const char text[] = "PLAIN=q7Vb2Lx9Rt4Wm8Zk1Ps5\nOTHER = 'aB3+xY9/kL2=pQ7-' # quoted\nMODEL=gpt-4o-mini-2024-07-18\nNAME=SomeCamelCaseServiceName2\n"
		"ID=7f1c2a9e-55b0-4c1d-9e2f-0a1b2c3d4e5f\nREGION=europe-west4-datacenter-77\n";
	vcr_redact_learn_dotenv(r, text, strlen(text));
	ck_assert_str_eq(redact("q7Vb2Lx9Rt4Wm8Zk1Ps5 aB3+xY9/kL2=pQ7-"), "{{vcr:secret:1:PLAIN}} {{vcr:secret:2:OTHER}}");
	SAME("gpt-4o-mini-2024-07-18 SomeCamelCaseServiceName2 7f1c2a9e-55b0-4c1d-9e2f-0a1b2c3d4e5f europe-west4-datacenter-77");
}
END_TEST

START_TEST(credential_fields_teach_their_values)
{
	vcr_redact_learn_field(r, "Authorization", "Bearer canary-bearer-1");
	vcr_redact_learn_field(r, "x-api-key", " canary-x-api-key");
	vcr_redact_learn_field(r, "Cookie", "theme=dark; session=canary-cookie-22");
	vcr_redact_learn_field(r, "Set-Cookie", "sid=canary-set-cookie; Path=/some/where; Expires=Wed, 21 Oct 2026 07:28:00 GMT");
	vcr_redact_learn_field(r, "Proxy-Authorization", "Basic dXNlcjpjYW5hcnktcGFzc3dvcmQ=");
	vcr_redact_learn_field(r, "Helicone-Auth", "Bearer canary-helicone");
	vcr_redact_learn_field(r, "cf-aig-authorization", "Bearer canary-gateway-1");
	vcr_redact_learn_field(r, "x-proxy-token", "Bearer canary-proxy-tok");
	vcr_redact_learn_field(r, "x-proxy-secret", "canary of three words");
	vcr_redact_learn_field(r, "content-type", "application/json; charset=utf-8");
	vcr_redact_learn_field(r, "idempotency-key", "stainless-python-retry-123");
	vcr_redact_learn_target(r, "/v1/models?key=canary%2Dgoogle-key&alt=sse-and-long-enough");
	static const char *const gone[] = { "canary-bearer-1", "canary-x-api-key", "canary-cookie-22", "canary-set-cookie", "canary-password", "canary-google-key",
		"canary-helicone", "canary-gateway-1", "canary-proxy-tok", "canary of three words" };
	for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
		ck_assert_msg(!strncmp(redact(gone[i]), "{{vcr:secret:", 13), "%s", gone[i]);
	SAME("application/json; charset=utf-8 Expires=Wed, 21 Oct 2026 stainless-python-retry-123 sse-and-long-enough");
}
END_TEST

START_TEST(json_members_named_as_credentials_teach_their_values)
{
	static const char body[] = "{\"client_secret\" :\n \"canary-client-1\", \"a\":[{\"api-key\":\"canary\\u002dkey-\\\"22\"}], \"Authorization\":\"Bearer canary-auth-33\", "
		"\"tokens\":\"twelve or more\", \"token\":\" token of a model\", \"password\":{\"type\":\"a schema of words\"}, \"key\":\"another-canary-\", "
		"\"text\":\"{\\\"password\\\":\\\"what people talk of\\\"}\", \"passwd\":\"cut in the";
	vcr_redact_learn_json(r, body, sizeof body - 1);
	static const char *const gone[] = { "canary-client-1", "canary-key-\"22", "canary-auth-33" };
	for (size_t i = 0; i < 3; i++)
		ck_assert_msg(!strncmp(redact(gone[i]), "{{vcr:secret:", 13), "%s", gone[i]);
	SAME("twelve or more token of a model a schema of words another-canary- what people talk of Bearer");
	for (size_t n = 0; n < sizeof body; n++)
		vcr_redact_learn_json(r, body, n);
}
END_TEST

START_TEST(arguments_teach_their_secrets)
{
	static const char *const argv[] = { "curl", "-H", "Authorization: Bearer canary-h-12345", "--api-key", "canary-opt-1234", "--token=canary-tok-1234", "-u", "me:canary-user-123",
		"OPENAI_API_KEY=canary-var-1234", "https://u:canary-url-1234@h/x?key=canary-qry-1234", "sh -c 'curl -H \"Authorization: Bearer canary-sh-12345\"'", "--max-tokens", "123456789012" };
	static const char *const shell[] = { "sh", "-c", "PGPASSWORD=canary-pg-12345 psql -c 'select 1'; export DEPLOY_KEY='canary dep $1234';A_TOKEN=\"canary-q-123456\";B_SECRET=canary-b-123456|x" };
	vcr_redact_learn_argv(r, 3, shell);
	static const char *const gone[] = { "canary-pg-12345", "canary dep $1234", "canary-q-123456", "canary-b-123456" };
	for (size_t i = 0; i < 4; i++)
		ck_assert_msg(!strncmp(redact(gone[i]), "{{vcr:secret:", 13), "%s", gone[i]);
	SAME("psql -c 'select 1'; export");
	vcr_redact_learn_argv(r, (int)(sizeof argv / sizeof *argv), argv);
	for (size_t i = 0; i < sizeof argv / sizeof *argv; i++)
		ck_assert_msg(!strstr(redact(argv[i]), "canary"), "%s", out.data);
	SAME("123456789012");
}
END_TEST

#define R36 "0123456789abcdefghijABCDEFGHIJ012345"
START_TEST(tokens_are_known_by_their_look)
{
	static const char *const tokens[][2] = { { "sk-proj-" R36 R36, "API_KEY" }, { "sk-ant-api03-" R36 "-" R36, "API_KEY" }, { "ghp_" R36, "GITHUB_TOKEN" },
		{ "gho_" R36, "GITHUB_TOKEN" }, { "github_pat_11ABCDEFG0_" R36, "GITHUB_TOKEN" }, { "AKIAIOSFODNN7EXAMPLE", "AWS_KEY" }, { "AIzaSyA-0123456789abcdefghijABCDEFGHIJK", "GOOGLE_KEY" },
		{ "xoxb-123456789012-abcdefghijklmnop", "SLACK_TOKEN" }, { "hf_" R36, "HF_TOKEN" }, { "glpat-0123456789abcdefghij", "GITLAB_TOKEN" },
		{ "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "JWT" } };
	for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
		static const char *const around[] = { "%s", "x=%s;", "{\"a\":\"%s\"}", "line\\n%s\\n", "say %s.", "?k%%3D%s&", "\\\\n%s\\\\n" };
		for (size_t k = 0; k < 7; k++) {
			char text[300], want[300], label[60];
			snprintf(label, sizeof label, "{{vcr:secret:%zu:%s}}", i + 1, tokens[i][1]);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(text, sizeof text, around[k], tokens[i][0]);
			snprintf(want, sizeof want, around[k], label);
#pragma GCC diagnostic pop
			ck_assert_str_eq(redact(text), want);
		}
	}
}
END_TEST

START_TEST(words_that_resemble_tokens_stay)
{
	SAME("sk-toggleable__label-arrow sk-estimator-doc-link risk-0123456789abcdef0123 hf_hub_download_with_a_long_name_0 AKIAIOSFODNN7EXAMPLEX");
	SAME("task-sk-" "0123456789abcdef0123456789abcdef" " AIzaShort ghp_tooShort1234567890 -----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----");
	SAME("claude-3-5-sonnet-20241022 models/gemini-2.5-flash-preview-05-20 chatcmpl-ABC123def456GHI789jkl012 toolu_01A09q90qw90lq917835lq9");
}
END_TEST

START_TEST(private_keys_are_replaced_whole)
{
	ck_assert_str_eq(redact("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIEabc+/=\n-----END RSA PRIVATE KEY-----\nb"), "a\n{{vcr:secret:1:PRIVATE_KEY}}\nb");
	ck_assert_str_eq(redact("{\"k\":\"-----BEGIN PRIVATE KEY-----\\nMIIEabd\\n-----END PRIVATE KEY-----\\n\"}"), "{\"k\":\"{{vcr:secret:2:PRIVATE_KEY}}\\n\"}");
	ck_assert_str_eq(redact("-----BEGIN OPENSSH PRIVATE KEY-----\nMIIEabe0123 cut off"), "{{vcr:secret:3:PRIVATE_KEY}}");
	SAME("the text PRIVATE KEY----- alone");
}
END_TEST

START_TEST(images_and_signatures_stay_unless_a_learnt_value_is_in_them)
{
	VCR_AUTO_BUF image = VCR_BUF_INIT;
	vcr_buf_puts(&image, "{\"data\":\"iVBORw0KGgo/");
	for (int i = 0; i < 40; i++)
		vcr_buf_puts(&image, "/AKIAIOSFODNN7EXAMPLE+/ghp" R36);
	vcr_buf_puts(&image, "==\"}");
	SAME(image.data);
	SAME("{\"signature\":\"AKIAIOSFODNN7EXAMPLE+abc/def\",\"thoughtSignature\": \"AKIAIOSFODNN7EXAMPLE\",\"x\\\":{\\\"encrypted_content\\\":\\\"AKIAIOSFODNN7EXAMPLE\\\"\"}");
	SAME("data:image/png;base64,AKIAIOSFODNN7EXAMPLE/abc");
	learn("K", "AKIAIOSFODNN7EXAMPLE");
	ck_assert_ptr_null(strstr(redact(image.data), "AKIAIOSFODNN7EXAMPLE"));
}
END_TEST

START_TEST(a_secret_split_across_events_is_replaced_inside_them)
{
	learn("K", "canary-\"split\"-\xc3\xa9-value");
	static const char text[] = "event: a\ndata: {\"type\":\"d\",\"index\":0,\"delta\":{\"text\":\"say canary-\\\"s\"}}\n\n: ping\n\n"
		"data: {\"type\":\"d\",\"index\":0,\"delta\":{\"text\":\"plit\\\"\"}}\r\n\r\ndata: {\"type\":\"d\",\"index\":0,\"delta\":{\"text\":\"-\\u00e9-value ok\\n\"}}\n\ndata: [DONE]\n\n";
	ck_assert_str_eq(events(text), "event: a\ndata: {\"type\":\"d\",\"index\":0,\"delta\":{\"text\":\"say {{vcr:secret:1:K}}\"}}\n\n: ping\n\n"
		"data: {\"type\":\"d\",\"index\":0,\"delta\":{\"text\":\"\"}}\r\n\r\ndata: {\"type\":\"d\",\"index\":0,\"delta\":{\"text\":\" ok\\n\"}}\n\ndata: [DONE]\n\n");
	ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(one_byte_per_event_and_two_lanes_at_once)
{
	static const char secret[] = "canary-byte-by-byte", token[] = "ghp_" R36;
	learn("K", secret);
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	for (size_t i = 0; i < strlen(token); i++) {
		vcr_buf_printf(&text, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%c\"}}]}\n\n", secret[i % strlen(secret)]);
		vcr_buf_printf(&text, "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"%c\"}}]}\n\n", token[i]);
	}
	events(text.data);
	struct vcr_buf lane[2] = { VCR_BUF_INIT, VCR_BUF_INIT };
	for (const char *p = out.data; (p = strstr(p, "data: ")); p++) {
		const char *end = strchr(p, '\n');
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		ck_assert_int_eq(vcr_json_parse(&j, p + 6, (size_t)(end - p - 6), 0, NULL), 0);
		int64_t k = 0;
		vcr_json_int(&j, vcr_json_path(&j, 0, "choices[0].index"), &k);
		vcr_json_str(&j, vcr_json_path(&j, 0, "choices[0].delta.content"), &lane[k]);
	}
	ck_assert_str_eq(lane[0].data, "{{vcr:secret:1:K}}{{vcr:secret:1:K}}ca");
	ck_assert_str_eq(lane[1].data, "{{vcr:secret:2:GITHUB_TOKEN}}");
	vcr_buf_release(&lane[0]);
	vcr_buf_release(&lane[1]);
}
END_TEST

START_TEST(json_in_json_split_across_events_is_found)
{
	learn("K", "canary/with\"quote\"-1");
	ck_assert_str_eq(events("data: {\"partial_json\":\"{\\\"k\\\": \\\"canary/with\\\\\"}\ndata: {\"partial_json\":\"\\\"quote\\\\\\\"-1\\\"}\"}\n"),
		"data: {\"partial_json\":\"{\\\"k\\\": \\\"{{vcr:secret:1:K}}\"}\ndata: {\"partial_json\":\"\\\"}\"}\n");
}
END_TEST

START_TEST(a_value_that_spans_the_json_around_it_is_replaced_all_the_same)
{
	learn("API_KEY", "abcdefgh\",\"next\":\"ijkl");
	ck_assert_str_eq(redact("{\"k\":\"abcdefgh\",\"next\":\"ijklmnop\"}"), "{\"k\":\"{{vcr:secret:1:API_KEY}}mnop\"}");
}
END_TEST

START_TEST(files_that_are_secrets_are_known_by_name)
{
	static const char *const yes[] = { ".env", "a/.env.local", "x/server.pem", "id_rsa", "/h/.ssh/id_ed25519", ".netrc", "credentials", "p.key", "c.p12", "h/.docker/config.json" };
	static const char *const no[] = { ".env.example", "id_rsa.pub", "environment.py", "keys.py", "config.json", "main.c", "secrets.py" };
	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		ck_assert_msg(vcr_redact_is_secret_file(yes[i]), "%s", yes[i]);
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		ck_assert_msg(!vcr_redact_is_secret_file(no[i]), "%s", no[i]);
	ck_assert(vcr_redact_keep_field("Content-Type") && vcr_redact_keep_field("x-ratelimit-remaining-requests"));
	ck_assert(!vcr_redact_keep_field("authorization") && !vcr_redact_keep_field("cookie") && !vcr_redact_keep_field("x-api-key"));
}
END_TEST

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

START_TEST(a_clean_text_passes_at_memory_speed)
{
	enum { MB = 8 };
	char name[20], value[80];
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "KEY_%d", i);
		snprintf(value, sizeof value, "kA%d/%d+%dzyx\"wvuts%drq", i * 7919, i * 104729, i, i * 31);
		learn(name, value);
	}
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	while (text.len < MB << 20)
		vcr_buf_printf(&text, "{\"role\":\"user\",\"content\":\"The quick brown fox jumps over\\n the lazy dog %zu; def function_with_name(argument): return value\"},", text.len);
	double best = 1e9;
	for (int i = 0; i < 5; i++) {
		double t = now();
		redactn(text.data, text.len);
		t = now() - t;
		best = t < best ? t : best;
	}
	ck_assert_uint_eq(count, 0);
	fprintf(stderr, "# redact: %.0f MB/s of clean text with 40 secrets\n", (double)text.len / 1e6 / best);
#if !defined __SANITIZE_ADDRESS__
	ck_assert_msg((double)text.len / 1e6 / best > 100, "slower than 100 MB/s on any machine");
#endif
}
END_TEST

START_TEST(a_successor_knows_what_was_learnt_and_gives_it_the_same_numbers)
{
	char name[] = "/dev/shm/vcr-test-learnt-XXXXXX";
	int fd = mkstemp(name);
	ck_assert_int_ge(fd, 0);
	VCR_AUTO_BUF one = VCR_BUF_INIT, two = VCR_BUF_INIT;
	struct vcr_redact *first = vcr_redact_new(), *second = vcr_redact_new();
	static const char text[] = "say Secret1Abcdefgh or Secret2Abcdefgh";
	ck_assert_int_eq(vcr_redact_keep(first, name), 0);
	vcr_redact_learn(first, "ONE_KEY", "Secret1Abcdefgh", 15);
	vcr_redact_learn(first, NULL, "Secret2Abcdefgh", 15);
	lseek(fd, 0, SEEK_END);
	ck_assert_int_eq(write(fd, "\1\0\0\0\377", 5), 5); /* an entry that was cut */
	ck_assert_int_eq(vcr_redact_keep(second, name), 0);
	ck_assert_int_eq(vcr_redact(first, text, sizeof text - 1, &one, NULL), 0);
	ck_assert_int_eq(vcr_redact(second, text, sizeof text - 1, &two, NULL), 0);
	ck_assert_str_eq(one.data, "say {{vcr:secret:1:ONE_KEY}} or {{vcr:secret:2:SECRET}}");
	ck_assert_str_eq(two.data, one.data);
	vcr_redact_free(first);
	vcr_redact_free(second);
	close(fd);
	unlink(name);
}
END_TEST

static TCase *redaction(void)
{
	TCase *tc = tcase_create("redact");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_successor_knows_what_was_learnt_and_gives_it_the_same_numbers);
	tcase_add_test(tc, a_learnt_value_is_replaced_wherever_it_stands);
	tcase_add_test(tc, what_stands_for_a_secret_can_be_as_long_as_it);
	tcase_add_test(tc, the_same_value_keeps_its_placeholder);
	tcase_add_test(tc, the_longer_of_two_secrets_wins_and_no_tail_stays);
	tcase_add_test(tc, base64_is_found_at_every_alignment);
	tcase_add_test(tc, url_encoded_forms_are_found);
	tcase_add_test(tc, json_escaped_forms_are_found_at_two_levels);
	tcase_add_test(tc, json_stays_valid_around_a_replacement);
	tcase_add_test(tc, what_is_no_secret_is_not_learnt);
	tcase_add_test(tc, harmless_variables_redact_nothing);
	tcase_add_test(tc, a_dotenv_file_teaches_its_secrets);
	tcase_add_test(tc, what_looks_random_in_a_dotenv_file_is_secret_whatever_its_name);
	tcase_add_test(tc, credential_fields_teach_their_values);
	tcase_add_test(tc, json_members_named_as_credentials_teach_their_values);
	tcase_add_test(tc, arguments_teach_their_secrets);
	tcase_add_test(tc, tokens_are_known_by_their_look);
	tcase_add_test(tc, words_that_resemble_tokens_stay);
	tcase_add_test(tc, private_keys_are_replaced_whole);
	tcase_add_test(tc, images_and_signatures_stay_unless_a_learnt_value_is_in_them);
	tcase_add_test(tc, a_secret_split_across_events_is_replaced_inside_them);
	tcase_add_test(tc, one_byte_per_event_and_two_lanes_at_once);
	tcase_add_test(tc, json_in_json_split_across_events_is_found);
	tcase_add_test(tc, a_value_that_spans_the_json_around_it_is_replaced_all_the_same);
	tcase_add_test(tc, files_that_are_secrets_are_known_by_name);
	tcase_add_test(tc, a_clean_text_passes_at_memory_speed);
	return tc;
}

TAP_MAIN("redact", redaction)
