/** Battles to begin with: each shows something that judges are asked to see. */

/**
 * @typedef {{prompt: string, a: string, b: string, teaches: string}} Example
 * @type {readonly Example[]}
 */
export const EXAMPLES = [
  {
    prompt: "A train leaves at 14:50 and arrives at 17:15. How long is the journey?",
    a: "The journey takes **2 hours and 25 minutes**.\n\nFrom 14:50 to 16:50 is 2 hours, and from 16:50 to 17:15 is 25 minutes more.",
    b: "It takes 3 hours and 25 minutes: 17:15 minus 14:50 gives 3 hours and 25 minutes.",
    teaches: "B is wrong, and says so as calmly as A is right.",
  },
  {
    prompt: "What is a hash map? One paragraph, please.",
    a: "A hash map keeps values by key. It computes a number from the key, the hash, and that number says in which of its buckets the value lies, so that finding one takes about the same time however many there are. Two keys may fall into one bucket; then it compares the keys themselves.",
    b: "# Hash maps\n\nGreat question! Here are some key points about hash maps:\n\n- **Keys**: they have keys\n- **Values**: they have values\n- **Speed**: they are very fast\n- **Hashing**: they use hashing\n\n## Conclusion\n\nHash maps are a powerful data structure that is used in many places. Let me know if you would like to know more!",
    teaches: "B is longer and has more markdown, but says less, and not in a paragraph.",
  },
  {
    prompt: "Name a river in Portugal.",
    a: "The Douro.",
    b: "The Tagus.",
    teaches: "Both are right: a person would call it a tie. Exchange A and B, and look at the position gap.",
  },
];
