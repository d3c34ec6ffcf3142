// Not for functions to call: the build names it as the compiler's `abort`, which finds it only in a file read.
import './abort';

export { Answer } from './answer';
export { Customer, HttpInput, Line, OrderInput, Product, Settings, TimerInput } from './input';
