--- JSON as RFC 8259 has it, strictly: integers and floats kept apart, floats that read back, nothing lost.

local native = require "weir.native.json"

local M = {
  --- The value that stands for null.
  null = native.null,
  --- list(t): marks a table as a list, so that an empty one is written as [].
  list = native.list,
  is_list = native.is_list,
  --- decode(text, {max_bytes, max_depth}) -> value | nil, message, code ("invalid", "limit"), {line, column}
  decode = native.decode,
  --- encode(value, {indent}) -> text | nil, message, code. Keys are sorted.
  encode = native.encode,
  --- decoder(): reads values as bytes come: d:feed(bytes) -> list of values | nil, message, code; d:finish()
  decoder = native.decoder,
}

return M
