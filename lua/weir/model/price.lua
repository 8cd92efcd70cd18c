--- What a call costs. A model whose price nobody stated, or an answer without counts, costs an unknown amount: nil, never 0. Pure.

local M = {}

local PER = 1000000 -- tokens for which a price is stated

--- The cost of a usage. Tokens that came from the provider's cache cost `cached`, where a price states it.
---@param price { input: number, output: number, cached: number? }|nil usd per 1,000,000 tokens
---@param usage { input_tokens: integer?, output_tokens: integer?, cached_tokens: integer? }|nil
---@return number|nil usd
function M.usd(price, usage)
  if not price or not usage or not usage.input_tokens or not usage.output_tokens then return nil end
  local cached = price.cached and math.min(usage.cached_tokens or 0, usage.input_tokens) or 0
  local fresh = usage.input_tokens - cached
  return (fresh * price.input + cached * (price.cached or 0) + usage.output_tokens * price.output) / PER
end

--- What one call of a candidate will cost: by its price and the estimate of its tokens, else what its calls have cost.
---@param candidate weir.ModelCandidate
---@param metrics weir.ModelMetrics of it
---@return number|nil usd
function M.expected(candidate, metrics)
  local price = candidate.price
  local is_stated = price and price.input and price.output
  return is_stated and M.usd(price, candidate.estimate) or metrics.usd_per_call
end

return M
