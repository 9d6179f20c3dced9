// The pictures of the papers: TROUPE_PICTURES=1 npx vitest run --project e2e test/e2e/page
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkout } from '../../support/tools/cache.ts';
import type { Page } from './browser.ts';
import { smallerPng } from './png.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The window in which an answer must be seen without scrolling. */
export const WINDOW: Size = { width: 1280, height: 800 };

/** Writes a picture of the page, where pictures are asked for; the window has its size again afterwards. */
export async function picture(page: Page, name: string, size: Size = WINDOW): Promise<void> {
  if (process.env['TROUPE_PICTURES'] === undefined) return;
  await resize(page, size);
  await writeFile(join(checkout, 'docs/pictures', name), smallerPng(await page.picture()));
  await resize(page, WINDOW);
}

/** Two frames after the new size everything is laid out. */
async function resize(page: Page, { width, height }: Size): Promise<void> {
  await page.size(width, height);
  await page.until(`innerHeight === ${height} && innerWidth === ${width}`);
  await page.value('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))');
}

/** Whether an element is in the window as a whole, and in the scrolled part around it. */
export async function isSeen(page: Page, selector: string): Promise<boolean> {
  return await page.value<boolean>(
    `(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      if (element === null || element.closest('[hidden]') !== null) return false;
      const { top, bottom, left, right, height } = element.getBoundingClientRect();
      return height > 0 && top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth;
    })()`,
  );
}
