// OpenAI's official client against the door of a host: prints what it understood as one JSON object.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.env.WEIR_PEERS + "/x.js"));
const OpenAI = require("openai");
const client = new OpenAI({ baseURL: process.env.WEIR_BASE, apiKey: process.env.WEIR_KEY, maxRetries: 0 });
const messages = [{ role: "user", content: "hello" }];
const model = "weir/talk";
const said = {};

said.models = (await client.models.list()).data.map((one) => one.id).sort();

const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
said.text = data.choices[0].message.content;
said.run = /^r_[0-9a-z]{20}$/.test(response.headers.get("weir-run-id"));

const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
said.streamed = "";
let chunks = 0;
for await (const chunk of stream) {
  said.streamed += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) said.usage = chunk.usage.total_tokens;
  chunks += 1;
}
said.chunks = chunks > 4;

const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];
const called = await client.chat.completions.create({ model, messages, tools });
said.tool = called.choices[0].message.tool_calls[0].function.name;
said.arguments = called.choices[0].message.tool_calls[0].function.arguments;

const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const structured = await client.chat.completions.create({
  model, messages, response_format: { type: "json_schema", json_schema: { name: "place", strict: true, schema } },
});
said.parsed = JSON.parse(structured.choices[0].message.content);

try {
  await client.chat.completions.create({ model: "weir/nobody", messages });
} catch (err) {
  said.refused = err.status;
}
console.log(JSON.stringify(said));
