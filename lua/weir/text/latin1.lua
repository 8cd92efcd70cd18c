--- Bytes of any kind as UTF-8 text, in which each character stands for one byte (ISO 8859-1), and back. Pure; never
--- yields.

local M = {}

--- Bytes as text.
---@param bytes string
---@return string
function M.encode(bytes)
  return (bytes:gsub("[\128-\255]", function(byte) return utf8.char(byte:byte()) end))
end

--- Text that `encode` made, as bytes. Raises for a character above U+00FF.
---@param text string
---@return string
function M.decode(text)
  return (text:gsub("[\xC2-\xF4][\x80-\xBF]*", function(char) return string.char(utf8.codepoint(char)) end))
end

return M
