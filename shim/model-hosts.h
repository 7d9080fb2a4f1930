/* model-hosts.h — hosts that serve models and nothing else of note: lower-case names, * in them for whatever. What the user adds stands in .vcr/config.
 * One list for the shim (unheard.c) and the collector (provider.c). */
#ifndef VCR_MODEL_HOSTS_H
#define VCR_MODEL_HOSTS_H
#define VCR_MODEL_HOSTS(X) \
	X("api.openai.com") X("*.api.openai.com") X("api.anthropic.com") X("generativelanguage.googleapis.com") X("aiplatform.googleapis.com") \
	X("*-aiplatform.googleapis.com") X("cloudcode-pa.googleapis.com") X("*.openai.azure.com") X("*.cognitiveservices.azure.com") \
	X("*.services.ai.azure.com") X("*.models.ai.azure.com") X("models.inference.ai.azure.com") X("models.github.ai") \
	X("api.githubcopilot.com") X("*.githubcopilot.com") X("bedrock-runtime.*.amazonaws.com") X("bedrock-runtime-fips.*.amazonaws.com") \
	X("openrouter.ai") X("api.mistral.ai") X("codestral.mistral.ai") X("api.deepseek.com") X("api.groq.com") X("api.together.xyz") \
	X("api.together.ai") X("api.fireworks.ai") X("api.cohere.com") X("api.cohere.ai") X("api.perplexity.ai") X("api.x.ai") X("*.api.x.ai") \
	X("api.cerebras.ai") X("api.sambanova.ai") X("api.moonshot.ai") X("api.moonshot.cn") X("api.kimi.com") X("dashscope.aliyuncs.com") \
	X("dashscope-*.aliyuncs.com") X("open.bigmodel.cn") X("api.z.ai") X("api.minimax.io") X("api.minimax.chat") X("api.minimaxi.com") \
	X("ark.*.volces.com") X("api.siliconflow.com") X("api.siliconflow.cn") X("integrate.api.nvidia.com") X("router.huggingface.co") \
	X("api-inference.huggingface.co") X("*.endpoints.huggingface.cloud") X("api.deepinfra.com") X("api.novita.ai") X("api.hyperbolic.xyz") \
	X("api.ai21.com") X("api.voyageai.com") X("api.jina.ai") X("api.upstage.ai") X("inference.baseten.co") X("ai-gateway.vercel.sh") \
	X("gateway.ai.cloudflare.com") X("llm.chutes.ai") X("api.studio.nebius.ai") X("api.studio.nebius.com") X("api.tokenfactory.nebius.com") \
	X("api.inceptionlabs.ai") X("ollama.com") X("chatgpt.com")

#endif
