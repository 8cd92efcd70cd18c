--- PageRank over a weighted, undirected graph given as lists of links.
--- Source: Brin and Page, "The Anatomy of a Large-Scale Hypertextual Web Search Engine", 1998; with
--- weights as in Mihalcea and Tarau, "TextRank: Bringing Order into Texts", EMNLP 2004, section 2.2.

local M = {}

local DAMPING = 0.85
local ROUNDS = 60
local ENOUGH = 1e-4 -- change of the ranks in a round, summed, relative to their sum; TextRank's own threshold

local function total_weights(links)
  local totals = {}
  for i, list in ipairs(links) do
    local sum = 0
    for _, link in ipairs(list) do sum = sum + link[2] end
    totals[i] = sum
  end
  return totals
end

local function one_round(links, totals, ranks, next_ranks)
  local change, shares = 0, {}
  for i, rank in ipairs(ranks) do shares[i] = rank / totals[i] end -- 0 links: never asked for
  for i, list in ipairs(links) do
    local sum = 0
    for index = 1, #list do
      local link = list[index]
      sum = sum + link[2] * shares[link[1]]
    end
    local rank = 1 - DAMPING + DAMPING * sum
    change = change + math.abs(rank - ranks[i])
    next_ranks[i] = rank
  end
  return change
end

--- Ranks the nodes of a graph: 1 on average, 0.15 for a node without links. Deterministic: sums go
--- in the order of the lists. Does not yield by itself.
---@param links table[]  per node a list of {neighbour, weight}, weights above 0, every link both ways
---@param pause fun()?  called between rounds, so that a module can let others run
---@return number[] ranks
function M.rank(links, pause)
  local totals, ranks, spare = total_weights(links), {}, {}
  for i = 1, #links do ranks[i] = 1.0 end
  for _ = 1, ROUNDS do
    local change = one_round(links, totals, ranks, spare)
    ranks, spare = spare, ranks
    if change <= ENOUGH * #links then break end
    if pause then pause() end
  end
  return ranks
end

return M
