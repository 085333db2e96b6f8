/** Where the planner's figures come from, and how firm each one is. */

interface Source {
  /** As a table cites it. */
  cite: string;
  url: string;
}

const source = (cite: string, url: string): Source => ({ cite, url });
const arxiv = (cite: string, id: string): Source => source(cite, `https://arxiv.org/abs/${id}`);

export const sources = {
  llm: arxiv("DeepSeek LLM", "2401.02954"),
  coder: arxiv("DeepSeek-Coder", "2401.14196"),
  v2: arxiv("DeepSeek-V2, section 3", "2405.04434"),
  v3: arxiv("DeepSeek-V3, table 1 and section 4", "2412.19437"),
  isca: arxiv("Insights into DeepSeek-V3, tables 2 and 4", "2505.09343"),
  r1: arxiv("DeepSeek-R1, version 2, table 7", "2501.12948"),
  v4: arxiv("DeepSeek-V4", "2606.19348"),
  v41: arxiv("DeepSeek-V4.1", "2609.19969"),
  service: source(
    "DeepSeek's service, open-infra-index, day 6",
    "https://github.com/deepseek-ai/open-infra-index",
  ),
  deepseekPrices: source(
    "DeepSeek's prices of 2025-01-20",
    "https://api-docs.deepseek.com/quick_start/pricing-details-usd",
  ),
  gpt3: arxiv("GPT-3, table D.1", "2005.14165"),
  llama3: arxiv("Llama 3, table 4 and section 3", "2407.21783"),
  llama3Card: source("Llama 3.1 405B, model card", "https://huggingface.co/meta-llama/Llama-3.1-405B"),
  amodei: source("D. Amodei, January 2025", "https://darioamodei.com/on-deepseek-and-export-controls"),
  altman: source(
    "S. Altman in Wired, April 2023",
    "https://www.wired.com/story/openai-ceo-sam-altman-the-age-of-giant-ai-models-is-already-over/",
  ),
  grok3: source("xAI, Grok 3", "https://x.ai/news/grok-3"),
  colossus: source("xAI, Colossus", "https://x.ai/colossus"),
  epoch: source("Epoch AI, notable models, 2026-07 (CC-BY)", "https://epoch.ai/data/ai-models"),
  epochCosts: source("Epoch AI, training cost trends (CC-BY)", "https://arxiv.org/abs/2405.21015"),
  epochExperiments: source("Epoch AI, R&D compute (CC-BY)", "https://epoch.ai/gradient-updates"),
  aiIndex: source("Stanford AI Index 2024", "https://hai.stanford.edu/ai-index/2024-ai-index-report"),
  leak: source(
    "SemiAnalysis, July 2023 (a leak)",
    "https://semianalysis.com/2023/07/10/gpt-4-architecture-infrastructure/",
  ),
  semianalysis: source("SemiAnalysis, 2025-01-31", "https://semianalysis.com/2025/01/31/deepseek-debates"),
  lambert: source("N. Lambert, interconnects.ai", "https://www.interconnects.ai"),
  register: source("The Register, 2025-09-19", "https://www.theregister.com/2025/09/19/deepseek_cost_train/"),
} as const;

export type SourceName = keyof typeof sources;

/** "measured" by the maker on its own machines; "published" by the maker; "estimated" by others, leaks included. */
export const FIRMNESS = ["measured", "published", "estimated"] as const;
export type Firmness = (typeof FIRMNESS)[number];

/** A figure that somebody else gave. */
export interface Figure {
  value: number;
  source: SourceName;
  firmness: Firmness;
  /** What it does and does not say. */
  note?: string;
}

const figure =
  (firmness: Firmness) =>
  (value: number, source: SourceName, note?: string): Figure => ({
    value,
    source,
    firmness,
    ...(note && { note }),
  });

export const measured = figure("measured");
export const published = figure("published");
export const estimated = figure("estimated");

/** What every output that shows Epoch AI's figures says. */
export const CREDIT =
  "GPUs, prices and estimates: Epoch AI (epoch.ai/data, CC-BY 4.0), July 2026, unless marked otherwise.";
