--- Masks words that are not to be shown in what arrives on a stream, while it arrives. When what it has read is taken back,
--- it goes on from what holds.

local pieces = require "weir.text.pieces"
local weir = require "weir"

local M = {
  kind = "agent", name = "moderate", api = 1,
  doc = "Masks words in what arrives on a stream, while it arrives",
  options = {
    words = { type = "array", items = { type = "string", minLength = 1 }, default = weir.list {} }, -- in any case
    mask = { type = "string", default = "***" },
  },
}

local function masking(options)
  local masked = {}
  for _, word in ipairs(options.words) do masked[word:lower()] = true end
  return function(text)
    return (text:gsub("[%w\128-\255']+", function(word) return masked[word:lower()] and options.mask or nil end))
  end
end

--- Reads the stream to its end. Waits for what comes, and while readers are behind.
---@param ctx weir.Context
---@return string|nil  nothing where text was streamed: that is the output
function M.execute(ctx)
  local mask = masking(ctx.options)
  local count = pieces.read(ctx, "words", function(whole) ctx:emit(mask(whole)) end)
  if count == 0 then return "" end
end

return M
