// Asks for chats with OpenAI's client for Node: client.mjs BASE_URL MODEL [EMBEDDING_MODEL]
// The key is read from OPENAI_API_KEY. Prints JSON: what each call gave.
import dns from "node:dns";
import OpenAI from "openai";

// Not every machine resolves names below localhost by itself.
const lookup = dns.lookup;
dns.lookup = (name, options, done) =>
  lookup(name.endsWith(".localhost") ? "127.0.0.1" : name, options, done);

const [baseURL, model, embeddingModel] = process.argv.slice(2);
const client = new OpenAI({ baseURL, maxRetries: 0 });
const asked = { model, messages: [{ role: "user", content: "hi" }], max_tokens: 20 };

async function streamed() {
  let text = "";
  let reason = null;
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? "";
    reason = chunk.choices[0]?.finish_reason ?? reason;
  }
  return [text, reason];
}

async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status, error.code];
  }
  return [];
}

const whole = (await client.chat.completions.create(asked)).choices[0];
const stranger = new OpenAI({ baseURL, apiKey: "dsk_u_wrong", maxRetries: 0 });
const said = {
  whole: [whole.message.content, whole.finish_reason],
  stream: await streamed(),
  models: (await client.models.list()).data.map((each) => each.id),
  wrongKey: await refusal(() => stranger.models.list()),
  unknownModel: await refusal(() => client.chat.completions.create({ ...asked, model: "no" })),
};
if (embeddingModel) {
  const answer = await client.embeddings.create({ model: embeddingModel, input: "hi" });
  said.embedding = answer.data[0].embedding;
}
process.stdout.write(JSON.stringify(said));
